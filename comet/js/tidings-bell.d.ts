import type { InboxItem, Message, Tidings } from "./tidings.js";

/**
 * A bell with the number of unread messages, and behind it the latest ones. Attributes: url, api, token-url, href (of the whole
 * inbox), lang ("zh" or "en"; default: the page's), limit, align ("start"), scheme ("light": never dark).
 */
export declare class TidingsBell extends HTMLElement {
  /** The client that it listens to. Without one it makes its own from its attributes. */
  client: Tidings | null;
  /** Whether the list is shown. */
  open: boolean;
  /** "message" when one arrives, "choose" when one is chosen from the list (prevent its default to follow the link yourself), "open" and "close" of the list. */
  addEventListener(type: "message", listener: (event: CustomEvent<Message>) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: "choose", listener: (event: CustomEvent<InboxItem>) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener<E extends keyof HTMLElementEventMap>(type: E, listener: (event: HTMLElementEventMap[E]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "tidings-bell": TidingsBell;
  }
}

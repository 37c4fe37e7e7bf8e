/** A line of the user's inbox. */
export interface Message {
  number: number;
  id: string;
  application?: string;
  type?: string;
  title?: string;
  body?: string;
  url?: string;
  via?: string[];
  at?: string;
  /** An older message may be gone from the inbox: read the list anew. */
  replaces?: boolean;
}

/** A line of the inbox as the API tells it: not every one has a number, and some have been read. */
export interface InboxItem extends Omit<Message, "number"> {
  number?: number;
  seen_at?: string;
  read_at?: string;
  archived_at?: string;
  /** Why no channel was to carry it. */
  reason?: string;
}

export interface InboxPage {
  data: InboxItem[];
  page: { after?: string; before?: string; has_more: boolean };
}

/** The user may no longer see what stood at this number. */
export interface Gone {
  number: number;
  gone: true;
}

/**
 * What was marked, in this tab, another one or on another device: these messages, or all up to one. With neither (the token
 * shows only some types) read the list anew. It may be told twice.
 */
export interface Read {
  mark?: "seen" | "read" | "archive";
  ids?: string[];
  up_to?: string;
  /** How many are unread since then, where it is known. */
  unread?: number;
}

/** Why the server ended a connection: codes of 3000 to 3499 come back by themselves, 3500 to 3999 stay away. */
export interface Close {
  code: number;
  reason: string;
  retry_ms?: number;
}

export interface Frame {
  cursor: string;
  messages?: (Message | Gone)[];
  reset?: boolean;
  heartbeat_ms?: number;
  marked?: Read;
  close?: Close;
}

export type Transport = "ws" | "stream" | "events" | "poll";
export type State = "stopped" | "connecting" | "connected" | "waiting";

export interface Options {
  /** Origin of the comet node; "" for this page's. */
  url?: string;
  /** Origin of the API, "" for this page's; null (default): the page reads and marks its inbox itself. */
  api?: string | null;
  /** Returns a user token; asked again when one has expired. */
  token: () => string | Promise<string>;
  /** In the order in which they are tried. */
  transports?: Transport[];
  /** Names this browser profile, or with share: false this tab. Default: random, and kept in storage if it is shared. */
  client?: string;
  /**
   * One connection for all tabs of the profile that show the same user (default). false: one for each tab. Without
   * Web Locks or BroadcastChannel it is as if false.
   */
  share?: boolean;
  /** Where to begin. */
  cursor?: string;
  storage?: Pick<Storage, "getItem" | "setItem"> | null;
  /** Returns the number of unread messages. Default: asked of the API, if api says where it is. */
  unread?: () => number | Promise<number>;
  /** Milliseconds in which acknowledgements are gathered. */
  ackDelay?: number;
  minBackoff?: number;
  maxBackoff?: number;
  /** Milliseconds in which a connection says its first word, else the next transport is tried. */
  openWithin?: number;
  /** In how many ms token answers, else it is asked again later; default 60000. */
  tokenWithin?: number;
  /** Milliseconds until better transports are tried again; twice as long each time that they fail. */
  upgradeAfter?: number;
  /** So many heartbeats are missed before a connection is taken for dead. */
  silence?: number;
  fetch?: typeof fetch;
  EventSource?: typeof EventSource | null;
  WebSocket?: typeof WebSocket | null;
  BroadcastChannel?: typeof BroadcastChannel | null;
  locks?: LockManager | null;
}

export interface Events {
  message: Message;
  gone: Gone;
  reset: { cursor: string };
  read: Read;
  state: State;
  unread: number;
  close: Close;
  error: Error;
}

export type Handlers = { [E in keyof Events]?: (detail: Events[E]) => void };

export declare const defaults: Omit<Required<Options>, "token">;

export declare class Lines {
  constructor(take: (line: string) => void);
  push(bytes: Uint8Array): void;
}

export declare class Tidings implements AsyncIterable<Message> {
  constructor(options: Options);
  readonly client: string;
  readonly cursor: string | null;
  readonly state: State;
  readonly unread: number;
  /** Whether this tab holds the connection that all tabs share. */
  readonly leading: boolean;
  /** The transport that is in use or tried, by this tab or the one that leads. */
  readonly transport: Transport;
  /** Returns how to stop hearing the event. */
  on<E extends keyof Events>(event: E, handler: (detail: Events[E]) => void): () => void;
  /** Hears messages, or the events that an object names, and starts. Returns how to stop hearing them. */
  subscribe(handlers: ((message: Message) => void) | Handlers): () => void;
  /** The messages as they come, until stop. */
  [Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined>;
  start(): void;
  /** Ends the connection, or leaves it to the other tabs. */
  stop(): void;
  /** Sets the unread counter of all tabs, where the page marks messages by itself. */
  setUnread(n: number): void;
  /** A page of the inbox, newest first. The query is the API's: limit, before, unread, merchant, store, type. */
  inbox(query?: Record<string, string>): Promise<InboxPage>;
  markRead(...ids: string[]): Promise<void>;
  /** Marks everything up to and including the message as read. */
  markAllRead(id: string): Promise<void>;
  archive(...ids: string[]): Promise<void>;
  receive(frame: Frame): void;
}

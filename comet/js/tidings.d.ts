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

/** The user may no longer see what stood at this number. */
export interface Gone {
  number: number;
  gone: true;
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
  close?: Close;
}

export type Transport = "stream" | "events" | "poll";
export type State = "stopped" | "connecting" | "connected" | "waiting";

export interface Options {
  /** Origin of the comet node; "" for this page's. */
  url?: string;
  /** Returns a user token; asked again when one has expired. */
  token: () => string | Promise<string>;
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
  /** Returns the number of unread messages. */
  unread?: () => number | Promise<number>;
  ackDelay?: number;
  minBackoff?: number;
  maxBackoff?: number;
  silence?: number;
  fetch?: typeof fetch;
  EventSource?: typeof EventSource;
  BroadcastChannel?: typeof BroadcastChannel | null;
  locks?: LockManager | null;
}

export interface Events {
  message: Message;
  gone: Gone;
  reset: { cursor: string };
  state: State;
  unread: number;
  close: Close;
  error: Error;
}

export declare const defaults: Options;

export declare class Lines {
  constructor(take: (line: string) => void);
  push(bytes: Uint8Array): void;
}

export declare class Tidings {
  constructor(options: Options);
  readonly client: string;
  readonly cursor: string | null;
  readonly state: State;
  readonly unread: number;
  /** Whether this tab holds the connection that all tabs share. */
  readonly leading: boolean;
  on<E extends keyof Events>(event: E, handler: (detail: Events[E]) => void): () => void;
  start(): void;
  /** Ends the connection, or leaves it to the other tabs. */
  stop(): void;
  /** Sets the unread counter of all tabs. */
  setUnread(n: number): void;
  receive(frame: Frame): void;
}

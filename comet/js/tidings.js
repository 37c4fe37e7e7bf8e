// The browser's end of Tidings: messages in order, each once, over whichever transport the network lets through.
//
//   import { Tidings } from "/comet/tidings.js";
//   const tidings = new Tidings({ token: () => fetch("/my/token").then((r) => r.text()) });
//   tidings.on("message", (m) => console.log(m.number, m.title));
//   tidings.on("reset", () => reloadTheInbox());
//   tidings.start();
//
// The cursor says what was received. It is kept in storage, so that a reload misses nothing; a number that comes twice is
// dropped; a reset says that the list must be loaded anew.

export const defaults = {
  url: "",                 // of the comet node: "https://push.example.com", or "" for this page's origin
  token: null,             // () => string | Promise<string>, asked for whenever a new one is needed
  transports: ["stream", "events", "poll"],
  client: null,            // names this browser profile; default: random, kept in storage
  cursor: null,            // where to begin; default: what storage kept, else the end of the list
  storage: typeof localStorage === "undefined" ? null : localStorage,
  unread: null,            // () => number | Promise<number>, asked for at the start and after a reset
  ackDelay: 1000,          // ms in which acknowledgements are gathered
  minBackoff: 500,         // ms
  maxBackoff: 30000,
  silence: 2,              // so many heartbeats are missed before a connection is taken for dead
  fetch: (...args) => globalThis.fetch(...args),
  EventSource: globalThis.EventSource,
};

const again = (code) => code < 3500;

/** A failure that says whether it is the token's fault and when to try again. */
class Refused extends Error {
  constructor(status, retryAfter) {
    super(`the server answered ${status}`);
    this.status = status;
    this.retry = Number(retryAfter) * 1000 || 0;
  }
}

/** Splits a byte stream into lines. A character that two chunks share is not torn apart. */
export class Lines {
  constructor(take) {
    this.take = take;
    this.decoder = new TextDecoder();
    this.rest = "";
  }
  push(bytes) {
    const parts = (this.rest + this.decoder.decode(bytes, { stream: true })).split("\n");
    this.rest = parts.pop();
    for (const line of parts) if (line) this.take(line);
  }
}

export class Tidings {
  constructor(options = {}) {
    this.options = { ...defaults, ...options };
    if (typeof this.options.token !== "function") throw new TypeError("token: give a function that returns a user token");
    this.handlers = new Map();
    this.client = this.options.client ?? this.#kept("tidings.client", () => "c" + crypto.randomUUID());
    this.cursor = this.options.cursor ?? this.#load(`tidings.cursor.${this.client}`);
    this.unread = 0;
    this.state = "stopped";
    this.transport = 0;
    this.failures = 0;
    this.heartbeat = 25000;
  }

  /** Calls handler for each "message", "gone", "reset", "state", "unread", "close" or "error". Returns how to stop it. */
  on(event, handler) {
    if (!this.handlers.has(event)) this.handlers.set(event, new Set());
    this.handlers.get(event).add(handler);
    return () => this.handlers.get(event).delete(handler);
  }

  start() {
    if (this.run) return;
    this.run = new AbortController();
    this.#count();
    this.#loop(this.run.signal);
  }

  /** Ends the connection. The cursor is kept: start goes on from there. */
  stop() {
    this.run?.abort();
    this.run = null;
    clearTimeout(this.acking);
    this.acking = null;
    this.#become("stopped");
  }

  /** Sets the unread counter, when the page has marked messages as read. */
  setUnread(n) {
    this.unread = Math.max(0, n);
    this.#emit("unread", this.unread);
  }

  async #loop(signal) {
    while (!signal.aborted) {
      let wait = 0;
      try {
        if (this.state !== "connected") this.#become("connecting"); // between two polls it is connected
        wait = await this.#connect(signal);
      } catch (error) {
        if (signal.aborted) return;
        wait = this.#failed(error);
      }
      if (wait === null) return this.stop();
      if (wait > 0) {
        this.#become("waiting");
        await sleep(wait, signal);
      }
    }
  }

  /** Runs one connection to its end and returns how long to wait, or null to stay away. */
  async #connect(signal) {
    const one = new AbortController();
    const end = () => one.abort();
    signal.addEventListener("abort", end);
    this.closed = null;
    this.watchdog = () => one.abort();
    this.#alive();
    try {
      await this[`_${this.options.transports[this.transport]}`](one.signal);
    } catch (error) {
      if (!this.closed) throw error;
    } finally {
      clearTimeout(this.watching);
      signal.removeEventListener("abort", end);
      one.abort();
    }
    if (!this.closed) return this.options.transports[this.transport] === "poll" ? 0 : this.#backoff(0);
    this.#emit("close", this.closed);
    if (this.closed.code === 3001) this.bearer = null;
    return again(this.closed.code) ? Math.max(this.closed.retry_ms ?? 0, 1) : null;
  }

  /** How long to wait after a failure. A transport that fails before it brought anything gives way to the next one. */
  #failed(error) {
    this.#emit("error", error);
    if (error.status === 401) this.bearer = null;
    if (error.status === 403 || error.status === 400) return null;
    if (!this.heard && !error.status) this.transport = (this.transport + 1) % this.options.transports.length;
    return this.#backoff(error.retry ?? 0);
  }

  #backoff(advice) {
    const { minBackoff, maxBackoff } = this.options;
    const most = Math.min(maxBackoff, minBackoff * 2 ** this.failures++);
    return advice + Math.random() * most; // full jitter: those who were cut together do not come back together
  }

  async #token() {
    this.bearer ??= await this.options.token();
    return this.bearer;
  }

  #url(path, more = {}) {
    const query = new URLSearchParams({ client: this.client, ...more });
    if (this.cursor) query.set("cursor", this.cursor);
    return `${this.options.url}/comet/${path}?${query}`;
  }

  async #fetch(url, init = {}) {
    this.heard = false;
    const headers = { ...init.headers, Authorization: `Bearer ${await this.#token()}` };
    const response = await this.options.fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
    if (!response.ok) throw new Refused(response.status, response.headers.get("Retry-After"));
    return response;
  }

  async _stream(signal) {
    const response = await this.#fetch(this.#url("stream"), { signal });
    const lines = new Lines((line) => this.receive(JSON.parse(line)));
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.closed) return;
      lines.push(value);
    }
  }

  async _events(signal) {
    if (!this.options.EventSource) throw new Error("this browser has no EventSource");
    const response = await this.#fetch(`${this.options.url}/comet/ticket`, { method: "POST", signal });
    const { ticket } = await response.json(); // EventSource sends no header, and a token does not belong in a URL
    const source = new this.options.EventSource(this.#url("events", { ticket }));
    try {
      await new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("silent for too long")));
        source.onerror = () => reject(new Error("the event source failed"));
        source.onmessage = ({ data }) => {
          this.receive(JSON.parse(data));
          if (this.closed) resolve();
        };
      });
    } finally {
      source.close(); // it would come back with a used ticket
    }
  }

  async _poll(signal) {
    const wait = this.state === "connected" ? "25s" : "0s"; // the first answer shows at once that the way is open
    const response = await this.#fetch(this.#url("poll", { wait }), { signal });
    this.receive(await response.json());
  }

  /** Takes a frame: the same object on every transport. */
  receive(frame) {
    this.heard = true;
    this.failures = 0;
    if (frame.heartbeat_ms) this.heartbeat = frame.heartbeat_ms;
    this.#become("connected");
    this.#alive();
    if (frame.reset) this.#reset(frame.cursor);
    for (const message of frame.messages ?? []) this.#message(message, frame.cursor);
    if (frame.close) this.closed = frame.close;
    else this.#keep(frame.cursor);
  }

  #message(message, cursor) {
    if (message.number <= numberOf(this.cursor)) return; // a repetition
    this.cursor = `${epochOf(cursor)}.${message.number}`;
    if (message.gone) return this.#emit("gone", message);
    this.setUnread(this.unread + 1);
    this.#emit("message", message);
    this.#ack();
  }

  #reset(cursor) {
    this.cursor = cursor;
    this.#emit("reset", { cursor });
    this.#count();
  }

  #keep(cursor) {
    if (cursor && (epochOf(cursor) !== epochOf(this.cursor) || numberOf(cursor) >= numberOf(this.cursor))) this.cursor = cursor;
    try {
      this.options.storage?.setItem(`tidings.cursor.${this.client}`, this.cursor);
    } catch { /* full or forbidden: a reload then begins at the end */ }
  }

  /** Acknowledges what was received, some at once: the acknowledgement is cumulative. */
  #ack() {
    if (this.acking || this.options.transports[this.transport] === "poll") return; // a poll's cursor acknowledges
    this.acking = setTimeout(async () => {
      this.acking = null;
      const body = JSON.stringify({ client: this.client, cursor: this.cursor });
      const headers = { "Content-Type": "application/json", Authorization: `Bearer ${this.bearer}` };
      try {
        await this.options.fetch(`${this.options.url}/comet/ack`, { method: "POST", headers, body, credentials: "omit" });
      } catch { /* the next one says as much and more */ }
    }, this.options.ackDelay);
  }

  async #count() {
    if (!this.options.unread) return;
    try {
      this.setUnread(await this.options.unread());
    } catch (error) {
      this.#emit("error", error);
    }
  }

  /** Puts off the moment at which the connection is taken for dead. */
  #alive() {
    clearTimeout(this.watching);
    this.watching = setTimeout(() => this.watchdog?.(), Math.max(this.heartbeat, 25000 * 1.2) * this.options.silence);
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#emit("state", state);
  }

  #emit(event, detail) {
    for (const handler of this.handlers.get(event) ?? []) {
      try {
        handler(detail);
      } catch (error) {
        queueMicrotask(() => { throw error; }); // the page's fault is the page's to see, and costs no message
      }
    }
  }

  #load(key) {
    try {
      return this.options.storage?.getItem(key) ?? null;
    } catch {
      return null;
    }
  }

  #kept(key, make) {
    const value = this.#load(key) ?? make();
    try {
      this.options.storage?.setItem(key, value);
    } catch { /* as above */ }
    return value;
  }
}

const epochOf = (cursor) => (cursor ?? "").split(".")[0];
const numberOf = (cursor) => Number((cursor ?? ".0").split(".")[1]);

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

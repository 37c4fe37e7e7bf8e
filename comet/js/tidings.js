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
//
// All tabs of a browser profile that show the same user share one connection, and each of them has every event. The tab
// that holds a Web Lock leads: it connects and passes on what it receives by a BroadcastChannel. The others follow. When
// the leader is closed or falls silent, another tab leads and goes on from its own cursor. A tab that finds that it missed
// something (it was frozen, or it began later) asks the server for it. Where the browser has no Web Locks (pages that do
// not come by https have none) or no BroadcastChannel, and with share: false, each tab has a connection and a client id of
// its own.

export const defaults = {
  url: "",                 // of the comet node: "https://push.example.com", or "" for this page's origin
  token: null,             // () => string | Promise<string>, asked for whenever a new one is needed
  transports: ["stream", "events", "poll"],
  client: null,            // names this browser profile; default: random, kept in storage
  share: true,             // one connection for all tabs
  cursor: null,            // where to begin; default: what storage kept, else the end of the list
  storage: typeof localStorage === "undefined" ? null : localStorage,
  unread: null,            // () => number | Promise<number>, asked for at the start and after a reset
  ackDelay: 1000,          // ms in which acknowledgements are gathered
  minBackoff: 500,         // ms
  maxBackoff: 30000,
  silence: 2,              // so many heartbeats are missed before a connection is taken for dead
  fetch: (...args) => globalThis.fetch(...args),
  EventSource: globalThis.EventSource,
  BroadcastChannel: globalThis.BroadcastChannel,
  locks: globalThis.navigator?.locks,
};

const again = (code) => code < 3500;
const replaced = 3500; // a newer connection of the same client took over
const pollWait = 25000; // ms

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
    this.tab = "t" + random();
    this.client = this.options.client ?? (this.#shares() ? this.#kept("tidings.client", () => "c" + random()) : this.tab);
    this.cursor = this.options.cursor;
    this.leading = false; // this tab holds the connection
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
    const { signal } = this.run;
    // A page that goes to the back/forward cache would keep the lead; one that ends has something to acknowledge.
    globalThis.addEventListener?.("pagehide", () => {
      this.stop();
      globalThis.addEventListener("pageshow", (e) => e.persisted && this.start(), { once: true });
    }, { signal });
    this.#count();
    this.#loop(signal).catch((error) => { this.#emit("error", error); this.stop(); });
  }

  /** Ends the connection, or leaves it to the other tabs. The cursor is kept: start goes on from there. */
  stop() {
    this.run?.abort();
    this.run = null;
    this.leading = false;
    this.channel?.close();
    this.channel = null;
    clearTimeout(this.watching);
    if (this.acking) this.#acknowledge();
    this.#become("stopped");
  }

  /** Sets the unread counter of all tabs, when the page has marked messages as read. */
  setUnread(n) {
    this.#unread(n);
    this.#post({ unread: this.unread });
  }

  #unread(n) {
    this.unread = Math.max(0, n);
    this.#emit("unread", this.unread);
  }

  async #loop(signal) {
    const user = await this.#user(signal);
    if (signal.aborted) return;
    this.key = `tidings.cursor.${user}`;
    this.name = `tidings ${this.options.url} ${user}`;
    if (this.#shares()) this.#follow();
    this.cursor ??= this.#load(this.key);
    this.#post({ hello: true });
    while (!signal.aborted) {
      if (this.channel) await this.#elected(signal);
      else await this.#lead(signal);
    }
  }

  /** Says whose token it is, as soon as one can be had: tabs of different users share nothing. */
  async #user(signal) {
    while (!signal.aborted) {
      try {
        this.#become("connecting");
        return userOf(await this.#token());
      } catch (error) {
        this.#emit("error", error);
        this.#become("waiting");
        await sleep(this.#backoff(0), signal);
      }
    }
  }

  #shares() {
    return Boolean(this.options.share && this.options.locks && this.options.BroadcastChannel);
  }

  /** Leads as long as this tab holds the lock. Until then it follows, and takes the lead from a leader that is silent. */
  async #elected(signal) {
    const lead = new AbortController(), wait = new AbortController();
    const end = () => { lead.abort(); wait.abort(); };
    signal.addEventListener("abort", end);
    const options = this.stealing ? { steal: true } : { signal: wait.signal };
    this.stealing = false;
    this.watchdog = () => { this.stealing = true; wait.abort(); };
    this.#alive(1);
    let led;
    try {
      await this.options.locks.request(this.name, options, () => led = this.#lead(lead.signal));
    } catch (error) {
      if (error.name !== "AbortError") throw error; // else: stopped, about to steal, or stolen from
    } finally {
      this.leading = false;
      signal.removeEventListener("abort", end);
      end();
      await led?.catch(() => {});
    }
  }

  async #lead(signal) {
    await this.receiving; // what the last leader passed on comes first
    if (signal.aborted) return;
    this.leading = true;
    this.#become("connecting");
    this.#tell();
    if (numberOf(this.cursor) > 0) this.#ack(); // the last leader may have had no time to
    while (!signal.aborted) {
      let wait = 0;
      try {
        if (this.state !== "connected") this.#become("connecting"); // between two polls it is connected
        wait = await this.#connect(signal);
      } catch (error) {
        if (signal.aborted) return;
        wait = this.#failed(error);
      }
      if (signal.aborted) return;
      if (wait === null) return this.stop();
      if (wait > 0) {
        this.#become("waiting");
        await sleep(wait, signal);
      }
    }
  }

  /** Joins the other tabs. What they say is taken in order, one thing after the other. */
  #follow() {
    this.channel = new this.options.BroadcastChannel(this.name);
    this.receiving = Promise.resolve();
    const { signal } = this.run;
    this.channel.onmessage = ({ data }) => {
      this.receiving = this.receiving.then(() => !signal.aborted && this.#heard(data)).catch((error) => this.#emit("error", error));
    };
  }

  #post(message) {
    this.channel?.postMessage(message);
  }

  /** Tells the tabs that follow where the leader stands. */
  #tell() {
    if (this.leading) this.#post({ state: this.state, cursor: this.cursor, heartbeat: this.heartbeat });
  }

  async #heard({ hello, unread, state, cursor, heartbeat, frame, after, end }) {
    if (unread !== undefined) this.#unread(unread);
    if (end) {
      this.#emit("close", end);
      return this.stop();
    }
    if (this.leading) return hello && this.#tell();
    if (heartbeat) this.heartbeat = heartbeat;
    if (state || frame) this.#alive(1);
    if (state) {
      await this.#catchUp(cursor);
      this.#become(state);
    }
    if (frame) {
      await this.#catchUp(after);
      if (reaches(this.cursor, after)) this.#take(frame);
    }
  }

  /** Asks the server for what this tab lacks of what the leader has. What fails is tried again with the next thing heard. */
  async #catchUp(cursor) {
    this.cursor ??= cursor;
    while (cursor && !reaches(this.cursor, cursor) && this.run) {
      const before = this.cursor;
      const query = new URLSearchParams({ client: this.tab, wait: "0s", cursor: this.cursor });
      const response = await this.#fetch(`${this.options.url}/comet/poll?${query}`, { signal: AbortSignal.timeout(10000) });
      const frame = await response.json();
      if (this.run) this.#take(frame);
      if (this.cursor === before) return;
    }
  }

  /** Runs one connection to its end and returns how long to wait, or null to stay away. */
  async #connect(signal) {
    const one = new AbortController();
    const end = () => one.abort();
    signal.addEventListener("abort", end);
    this.closed = null;
    this.watchdog = () => one.abort();
    this.#alive(0);
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
    if (this.closed.code === replaced && this.channel) await this.options.locks.query(); // by then it is known whether the lock was stolen
    if (signal.aborted) return null;
    this.#emit("close", this.closed);
    if (this.closed.code === 3001) this.bearer = null;
    if (this.channel && !again(this.closed.code) && this.closed.code !== replaced) {
      this.#post({ end: this.closed });
      await sleep(200, signal); // the lead is free when the other tabs have heard it
    }
    return again(this.closed.code) ? Math.max(this.closed.retry_ms ?? 0, 1) : null;
  }

  /** How long to wait after a failure. A transport that fails before it brought anything gives way to the next one. */
  #failed(error) {
    this.#emit("error", error);
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
    if (this.key && this.key !== `tidings.cursor.${userOf(this.bearer)}`) throw new Error("the token is another user's: make a new Tidings");
    return this.bearer;
  }

  #url(path, more = {}) {
    const query = new URLSearchParams({ client: this.client, ...more });
    if (this.cursor) query.set("cursor", this.cursor);
    return `${this.options.url}/comet/${path}?${query}`;
  }

  async #fetch(url, init = {}) {
    this.heard = false;
    const held = this.bearer;
    const headers = { ...init.headers, Authorization: `Bearer ${await this.#token()}` };
    const response = await this.options.fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
    if (response.status === 401) this.bearer = null;
    if (response.status === 401 && held) return this.#fetch(url, init); // it had expired
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
    const wait = this.state === "connected" ? `${pollWait / 1000}s` : "0s"; // the first answer shows at once that the way is open
    const response = await this.#fetch(this.#url("poll", { wait }), { signal });
    this.receive(await response.json());
  }

  /** Takes a frame from the server, the same object on every transport, and passes it on to the other tabs. */
  receive(frame) {
    this.heard = true;
    this.failures = 0;
    if (frame.heartbeat_ms) this.heartbeat = frame.heartbeat_ms;
    const after = this.cursor ?? frame.cursor;
    this.#become("connected");
    this.#alive(0);
    this.#take(frame);
    if (frame.close) this.closed = frame.close;
    else this.#store();
    if (this.leading) this.#post({ frame, after });
  }

  /** Has the page see what a frame brings. */
  #take(frame) {
    if (frame.reset && this.cursor !== frame.cursor) this.#reset(frame.cursor);
    for (const message of frame.messages ?? []) this.#message(message, frame.cursor);
    if (frame.cursor && (epochOf(frame.cursor) !== epochOf(this.cursor) || numberOf(frame.cursor) >= numberOf(this.cursor))) {
      this.cursor = frame.cursor;
    }
  }

  #message(message, cursor) {
    if (message.number <= numberOf(this.cursor)) return; // a repetition
    this.cursor = `${epochOf(cursor)}.${message.number}`;
    if (message.gone) return this.#emit("gone", message);
    this.#unread(this.unread + 1);
    this.#emit("message", message);
    if (this.leading) this.#ack();
  }

  #reset(cursor) {
    this.cursor = cursor;
    this.#emit("reset", { cursor });
    this.#count();
  }

  #store() {
    try {
      if (this.key) this.options.storage?.setItem(this.key, this.cursor);
    } catch { /* full or forbidden: a reload then begins at the end */ }
  }

  /** Acknowledges what was received, some at once: the acknowledgement is cumulative. */
  #ack() {
    if (this.acking || this.options.transports[this.transport] === "poll") return; // a poll's cursor acknowledges
    this.acking = setTimeout(() => this.#acknowledge(), this.options.ackDelay);
  }

  async #acknowledge() {
    clearTimeout(this.acking);
    this.acking = null;
    const body = JSON.stringify({ client: this.client, cursor: this.cursor });
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${this.bearer}` };
    try { // keepalive: the page may be ending
      await this.options.fetch(`${this.options.url}/comet/ack`, { method: "POST", headers, body, credentials: "omit", keepalive: true });
    } catch { /* the next one says as much and more */ }
  }

  async #count() {
    if (!this.options.unread) return;
    try {
      this.#unread(await this.options.unread());
    } catch (error) {
      this.#emit("error", error);
    }
  }

  /** Puts off the moment at which the connection, or the leader, is taken for dead: the latter one or two beats later. */
  #alive(more) {
    clearTimeout(this.watching);
    if (!this.run) return;
    const polls = this.options.transports.includes("poll") ? pollWait * 1.2 : 0;
    const beat = Math.max(this.heartbeat, polls);
    this.watching = setTimeout(() => this.watchdog?.(), beat * (this.options.silence + more * (1 + Math.random())));
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#tell();
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

/** Tells whether who stands at cursor has everything up to other. */
const reaches = (cursor, other) => !other || epochOf(cursor) === epochOf(other) && numberOf(cursor) >= numberOf(other);

/** 20 random letters and digits. crypto.randomUUID is only there for pages that come by https. */
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(20)), (b) => (b & 31).toString(32)).join("");

/** Whose token it is, for naming things: the server verifies it. */
function userOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return `${claims.app}.${claims.sub}`;
  } catch {
    return "";
  }
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

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
// the leader is closed, frozen or falls silent, another tab leads and goes on from its own cursor. A tab that finds that it
// missed something (it was frozen, or it began later) asks the server for it. Where the browser has no Web Locks (pages that
// do not come by https have none) or no BroadcastChannel, and with share: false, each tab has a connection and a client id
// of its own.
//
// The transports are tried in their order. One that the network does not let through gives way to the next, and the better
// ones are tried again later.

export const defaults = {
  url: "",                 // of the comet node: "https://push.example.com", or "" for this page's origin
  api: null,               // of the API, "" for this page's origin; null: the page reads and marks its inbox itself
  token: null,             // () => string | Promise<string>, asked for whenever a new one is needed
  transports: ["ws", "stream", "events", "poll"],
  client: null,            // names this browser profile; default: random, kept in storage
  share: true,             // one connection for all tabs
  cursor: null,            // where to begin; default: what storage kept, else the end of the list
  storage: storageOf(globalThis),
  unread: null,            // () => number | Promise<number>; default: asked of the API, if that is given
  ackDelay: 1000,          // ms in which acknowledgements are gathered
  minBackoff: 500,         // ms
  maxBackoff: 30000,
  tokenWithin: 60000,      // ms in which token answers, else it is asked again later
  openWithin: 10000,       // ms in which a connection says its first word, else the next transport is tried
  upgradeAfter: 60000,     // ms until better transports are tried again; twice as long each time that they fail
  silence: 2,              // so many heartbeats are missed before a connection is taken for dead
  fetch: (...args) => globalThis.fetch(...args),
  EventSource: globalThis.EventSource,
  WebSocket: globalThis.WebSocket,
  BroadcastChannel: globalThis.BroadcastChannel,
  locks: globalThis.navigator?.locks,
};

const again = (code) => code < 3500;
const replaced = 3500; // a newer connection of the same client took over
const pollWait = 25000; // ms
const tick = 5000; // ms between two looks at the clock
const lasting = 3000; // ms after which a connection counts as a good one
const longestUpgrade = 1800000; // ms
const noSuchTransport = [404, 405, 426, 501]; // an older node, or a proxy that knows better

/** The page's storage, or null: where cookies are blocked, looking at it throws. */
function storageOf(page) {
  try {
    return page.localStorage ?? null;
  } catch {
    return null;
  }
}

/** A failure that says whether it is the token's fault and when to try again. */
class Refused extends Error {
  constructor(status, retryAfter) {
    super(`the server answered ${status}`);
    this.status = status;
    this.retry = retryIn(retryAfter);
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
    this.client = this.options.client ?? this.tab;
    this.cursor = this.options.cursor;
    this.leading = false; // this tab holds the connection
    this.unread = 0;
    this.state = "stopped";
    this.rank = 0; // of the transport in use
    this.from = null; // the rank before transports failed in a row
    this.upgradeAt = Infinity;
    this.upgradeWait = this.options.upgradeAfter;
    this.failures = 0;
    this.heartbeat = 25000;
    this.beat = pollWait * 1.2; // the longest silence of a leader that is well
  }

  /** The transport that is in use or tried, by this tab or the one that leads. */
  get transport() {
    return this.leading || !this.led ? this.options.transports[this.rank] : this.led;
  }

  /** Calls handler for each "message", "gone", "reset", "read", "state", "unread", "close" or "error". Returns how to stop it. */
  on(event, handler) {
    if (!this.handlers.has(event)) this.handlers.set(event, new Set());
    this.handlers.get(event).add(handler);
    return () => this.handlers.get(event).delete(handler);
  }

  /** Hears messages, or the events that an object names, from now on, and starts. Returns how to stop hearing them. */
  subscribe(handlers) {
    const all = typeof handlers === "function" ? { message: handlers } : handlers;
    const ends = Object.entries(all).map(([event, handler]) => this.on(event, handler));
    this.start();
    return () => ends.forEach((end) => end());
  }

  /** The messages as they come, until stop: for await (const message of tidings). */
  async *[Symbol.asyncIterator]() {
    const queue = [];
    let wake = () => {}, ended = false;
    const end = this.subscribe({
      message: (m) => { queue.push(m); wake(); },
      state: (state) => { ended = state === "stopped" && !this.resting; wake(); },
    });
    try {
      for (;;) {
        while (queue.length) yield queue.shift();
        if (ended) return;
        await new Promise((resolve) => { wake = resolve; });
      }
    } finally {
      end();
    }
  }

  start() {
    if (this.run) return;
    this.resting = false;
    this.run = new AbortController();
    const { signal } = this.run;
    this.#watch(signal);
    this.#count();
    this.#loop(signal).catch((error) => { this.#emit("error", error); this.stop(); });
  }

  /** Ends the connection, or leaves it to the other tabs. The cursor is kept: start goes on from there. */
  stop() {
    this.resting = false;
    this.#end();
  }

  #end() {
    this.run?.abort();
    this.run = null;
    this.leading = false;
    this.channel?.close();
    this.channel = null;
    clearTimeout(this.watching);
    if (this.acking) this.#acknowledge();
    this.#become("stopped");
  }

  /** Looks at what happens to the page: the network goes and comes, the machine sleeps, the tab is hidden or put away. */
  #watch(signal) {
    const { document } = globalThis;
    const on = (target, event, act) => target?.addEventListener?.(event, act, { signal });
    on(globalThis, "online", () => this.hurry?.());
    on(globalThis, "offline", () => this.#distrust());
    on(document, "visibilitychange", () => document.visibilityState === "visible" && this.#look(true));
    // A page that goes to the back/forward cache or is frozen would keep the lead; one that ends has something to acknowledge.
    on(globalThis, "pagehide", () => this.#rest(globalThis, "pageshow"));
    on(document, "freeze", () => this.#rest(document, "resume"));
    this.looked = Date.now();
    const looking = setInterval(() => this.#look(false), tick);
    signal.addEventListener("abort", () => clearInterval(looking));
  }

  #rest(target, event) {
    this.resting = true; // before the end: who listens is not to think that it is for ever
    this.#end();
    target.addEventListener(event, () => this.resting && this.start(), { once: true });
  }

  /**
   * Finds out whether the machine slept: the network may have forgotten the connection and nobody says so. Timers stand still
   * in some browsers meanwhile, so it goes by the clock. A hidden tab's timers may be a minute late without any sleep.
   */
  #look(shown) {
    const now = Date.now(), late = now - this.looked - tick;
    this.looked = now;
    const hidden = globalThis.document?.visibilityState === "hidden";
    if (!this.leading) return shown && this.#post({ hello: true });
    if (late > (hidden ? 75000 : 10000) || this.state === "connected" && now > this.deadline) this.#distrust();
    else if (shown && this.#say({ ping: true })) this.deadline = Math.min(this.deadline, now + tick);
    else if (shown) this.hurry?.();
  }

  /** Gives up the connection, if there is one: the next one begins at the cursor, so nothing is lost. */
  #distrust() {
    this.cut?.();
    this.hurry?.();
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
    this.name = `tidings ${home(this.options.url)} ${user}`;
    if (this.#shares()) {
      // Who shares one connection is one client, and nobody else: another application's pages would take its place.
      this.client = this.options.client ?? this.#kept(`tidings.client ${this.name}`, () => "c" + random());
      this.#follow();
    }
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
        await this.#nap(this.#backoff(error.retry ?? 0), signal);
      }
    }
  }

  /** Waits, until the network is back or the page is shown at the latest. */
  async #nap(ms, signal) {
    if (signal.aborted) return;
    if (globalThis.navigator?.onLine === false) ms = Math.max(ms, this.options.maxBackoff);
    const hurried = new AbortController();
    const end = () => hurried.abort();
    this.hurry = end;
    signal.addEventListener("abort", end);
    await sleep(ms, hurried.signal);
    this.hurry = null;
    signal.removeEventListener("abort", end);
    // Those who were cut off together do not come back together.
    if (hurried.signal.aborted && !signal.aborted) await sleep(Math.random() * this.options.minBackoff, signal);
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
      if (error.name !== "AbortError") this.#alone(); // locks are refused to this page; else: stopped, about to steal, or stolen from
    } finally {
      this.leading = false;
      signal.removeEventListener("abort", end);
      end();
      await led?.catch(() => {});
    }
  }

  /** Shares nothing any more. */
  #alone() {
    this.channel?.close();
    this.channel = null;
    this.client = this.options.client ?? this.tab;
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
        await this.#nap(wait, signal);
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
    if (this.leading) this.#post({ state: this.state, cursor: this.cursor, beat: this.#beat(), transport: this.transport });
  }

  async #heard({ hello, unread, read, state, cursor, beat, transport, frame, after, end }) {
    if (read) this.#emit("read", read);
    if (unread !== undefined) this.#unread(unread);
    if (end) {
      this.#emit("close", end);
      return this.stop();
    }
    if (this.leading) return hello && this.#tell();
    if (beat) this.beat = beat;
    if (transport) this.led = transport;
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
    await this.#token(); // the page may take its time for it, and no connection is to be cut for that
    if (signal.aborted) return null;
    const one = new AbortController();
    const end = () => one.abort();
    signal.addEventListener("abort", end);
    const began = Date.now();
    if (began >= this.upgradeAt) this.rank = 0;
    const polls = this.transport === "poll";
    let upgrading = false, distrusted = false;
    const upgrade = polls || this.upgradeAt === Infinity ? 0 : setTimeout(() => { upgrading = true; end(); }, this.upgradeAt - began);
    this.cut = () => { distrusted = true; end(); };
    this.closed = null;
    this.heard = false;
    this.watchdog = end;
    this.#alive(0);
    try {
      await this[`_${this.transport}`](one.signal);
    } catch (error) {
      if (!this.closed && !upgrading && !distrusted) throw error;
    } finally {
      clearTimeout(upgrade);
      clearTimeout(this.watching);
      this.cut = null;
      signal.removeEventListener("abort", end);
      one.abort();
      if (this.heard && Date.now() - began > lasting) this.failures = 0;
    }
    if (this.closed) return this.#wasClosed(signal);
    if (distrusted) return Math.max(1, Math.random() * this.options.minBackoff);
    return polls || upgrading ? 0 : this.#backoff(0);
  }

  async #wasClosed(signal) {
    const { code, retry_ms } = this.closed;
    if (code === replaced && this.channel) await this.options.locks.query(); // by then it is known whether the lock was stolen
    if (signal.aborted) return null;
    this.#emit("close", this.closed);
    if (code === 3001) this.bearer = null;
    if (this.channel && !again(code) && code !== replaced) {
      this.#post({ end: this.closed });
      await sleep(200, signal); // the lead is free when the other tabs have heard it
    }
    return again(code) ? Math.max(retry_ms ?? this.#backoff(0), 1) : null;
  }

  /** How long to wait after a failure. */
  #failed(error) {
    const missing = noSuchTransport.includes(error.status);
    if (!this.heard && !error.offline && (!error.status || missing) && this.#fallBack()) return 0;
    if ((error.offline || error.status) && this.from !== null) { // it was no fault of the transports that failed just before, which cannot say why
      this.rank = this.from;
      if (this.rank === 0) this.upgradeAt = Infinity;
    }
    this.from = null;
    this.#emit("error", error);
    if (error.status === 403 || error.status === 400) return null;
    return this.#backoff(error.retry ?? 0);
  }

  /** A transport that failed before it brought anything gives way to the next. It tells whether there is one. */
  #fallBack() {
    if (this.upgradeAt === Infinity || Date.now() >= this.upgradeAt) {
      this.upgradeAt = Date.now() + this.upgradeWait;
      this.upgradeWait = Math.min(2 * this.upgradeWait, longestUpgrade);
    }
    this.from ??= this.rank;
    this.rank = (this.rank + 1) % this.options.transports.length;
    if (this.rank === 0) this.upgradeAt = Infinity;
    return this.rank > 0;
  }

  #backoff(advice) {
    const { minBackoff, maxBackoff } = this.options;
    const most = Math.min(maxBackoff, minBackoff * 2 ** this.failures++);
    return advice + Math.random() * most; // full jitter: those who were cut together do not come back together
  }

  async #token() {
    this.asking ??= within(this.options.tokenWithin, "token", Promise.resolve(this.bearer ?? this.options.token())).finally(() => { this.asking = null; });
    this.bearer = await this.asking;
    if (this.key && this.key !== `tidings.cursor.${userOf(this.bearer)}`) throw new Error("the token is for another user or other types: make a new Tidings");
    return this.bearer;
  }

  #url(path, more = {}) {
    const query = new URLSearchParams({ client: this.client, ...more });
    if (this.cursor) query.set("cursor", this.cursor);
    return `${this.options.url}/comet/${path}?${query}`;
  }

  async #fetch(url, init = {}, once = false) {
    const token = await this.#token();
    const headers = { ...init.headers, Authorization: `Bearer ${token}` };
    let response;
    try {
      response = await this.options.fetch(url, { ...init, headers, cache: "no-store", credentials: "omit" });
    } catch (error) {
      throw Object.assign(error, { offline: error.name !== "AbortError" });
    }
    if (response.status === 401 && this.bearer === token) this.bearer = null; // it has expired
    if (response.status === 401 && !once) return this.#fetch(url, init, true);
    if (!response.ok) throw new Refused(response.status, response.headers.get("Retry-After"));
    return response;
  }

  /** A word that stands for the token once: EventSource sends no header. */
  async #ticket(signal) {
    try {
      const response = await this.#fetch(`${this.options.url}/comet/ticket`, { method: "POST", signal });
      return (await response.json()).ticket;
    } catch (error) {
      throw error.status ? error : Object.assign(error, { offline: true });
    }
  }

  async _ws(signal) {
    const { WebSocket } = this.options;
    if (!WebSocket) throw new Error("this browser has no WebSocket");
    const address = new URL(this.#url("ws"), globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    const token = await this.#token();
    if (signal.aborted) throw new Error("it was cut before it was opened"); // nobody would hear of it
    // The one header that a page can choose. A token does not belong in a URL.
    const socket = new WebSocket(address.href, ["tidings.v1", "bearer." + token]);
    this.socket = socket;
    try {
      await new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("silent for too long")));
        socket.onerror = () => reject(new Error("the socket failed"));
        socket.onclose = ({ code, reason }) => {
          if (code >= 3000 && code < 4000) this.closed ??= { code, reason };
          reject(new Error(`the socket was closed (${code})`));
        };
        socket.onmessage = ({ data }) => {
          if (signal.aborted) return;
          this.receive(JSON.parse(data));
          if (this.closed) resolve();
        };
      });
    } finally {
      this.socket = null;
      socket.close();
    }
  }

  async _stream(signal) {
    const response = await this.#fetch(this.#url("stream"), { signal });
    const lines = new Lines((line) => this.receive(JSON.parse(line)));
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      lines.push(value);
      if (this.closed) return;
    }
  }

  async _events(signal) {
    if (!this.options.EventSource) throw new Error("this browser has no EventSource");
    const ticket = await this.#ticket(signal);
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
    const first = !this.heard;
    this.heard = true;
    this.from = null;
    if (this.rank === 0) {
      this.upgradeAt = Infinity;
      this.upgradeWait = this.options.upgradeAfter;
    }
    if (frame.heartbeat_ms) this.heartbeat = frame.heartbeat_ms;
    const after = this.cursor ?? frame.cursor;
    this.#become("connected");
    if (first) this.#tell(); // over which transport
    this.#alive(0);
    this.#take(frame);
    if (frame.close) this.closed = frame.close;
    else this.#store();
    if (frame.messages?.length) this.failures = 0;
    // What was said on a socket just before it ended may not have been heard.
    if (this.owing || first && this.saidAt && numberOf(this.cursor) > 0) this.#ack();
    if (first || Date.now() - this.saidAt > lasting) this.saidAt = null;
    if (this.leading) this.#post({ frame, after });
  }

  /** Has the page see what a frame brings. */
  #take(frame) {
    if (frame.marked) this.#marked(frame.marked);
    if (frame.reset && this.cursor !== frame.cursor) this.#reset(frame.cursor);
    for (const message of frame.messages ?? []) this.#message(message, frame.cursor);
    if (frame.cursor && (epochOf(frame.cursor) !== epochOf(this.cursor) || numberOf(frame.cursor) >= numberOf(this.cursor))) {
      this.cursor = frame.cursor;
    }
  }

  /** What the user marked anywhere. The tab that leads asks how much is left, where the frame does not say it. */
  #marked(marked) {
    this.#emit("read", marked);
    if (marked.unread !== undefined) this.#unread(marked.unread);
    else if (this.leading) this.#recount();
  }

  async #recount() {
    const n = await this.#count();
    if (n !== undefined) this.#post({ unread: n });
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
    if (this.acking || this.transport === "poll") return; // a poll's cursor acknowledges
    this.acking = setTimeout(() => this.#acknowledge(), this.options.ackDelay);
  }

  async #acknowledge() {
    clearTimeout(this.acking);
    this.acking = null;
    if (this.#say({ ack: this.cursor })) {
      this.owing = false;
      this.saidAt = Date.now();
      return;
    }
    const body = JSON.stringify({ client: this.client, cursor: this.cursor });
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${this.bearer}` };
    try { // keepalive: the page may be ending
      const { status } = await this.options.fetch(`${this.options.url}/comet/ack`, { method: "POST", headers, body, credentials: "omit", keepalive: true });
      this.owing = status >= 500 || status === 401 || status === 429;
    } catch {
      this.owing = true; // said again with the next frame, and then it says as much and more
    }
  }

  /** Says something on the WebSocket, if that is what connects. */
  #say(what) {
    if (this.socket?.readyState !== 1 || !this.heard) return false; // before its first word the list may be another one
    this.socket.send(JSON.stringify(what));
    return true;
  }

  /** Asks how much is unread, again if something came meanwhile: the answer may have been older. */
  async #count() {
    const { unread, api } = this.options;
    const ask = unread ?? (api === null ? null : async () => (await this.#api("/v1/inbox/unread")).unread);
    if (!ask) return;
    try {
      for (let i = 0; i < 3; i++) {
        const before = this.cursor;
        const n = await ask();
        this.#unread(n);
        if (numberOf(this.cursor) <= numberOf(before)) return n;
      }
    } catch (error) {
      this.#emit("error", error);
    }
  }

  /** Asks the API, as the user. */
  async #api(path, body) {
    if (this.options.api === null) throw new Error("api: say where the API is");
    const init = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    return (await this.#fetch(this.options.api + path, init)).json();
  }

  /** A page of the inbox, newest first: { data, page }. The query is the API's: limit, before, unread, merchant, store, type. */
  inbox(query = {}) {
    return this.#api("/v1/inbox?" + new URLSearchParams(query));
  }

  /** Marks messages as read, by their ids. */
  markRead(...ids) {
    return this.#mark("read", { ids });
  }

  /** Marks everything up to and including the message as read. */
  markAllRead(id) {
    return this.#mark("read", { up_to: id });
  }

  /** Marks messages as archived, by their ids: they leave the inbox. */
  archive(...ids) {
    return this.#mark("archive", { ids });
  }

  /** What one tab has marked, all tabs know. */
  async #mark(mark, what) {
    await this.#api(`/v1/inbox/${mark}`, what);
    const read = { mark, ...what };
    this.#emit("read", read);
    this.#post({ read });
    await this.#recount();
  }

  /** Puts off the moment at which the connection, or the leader, is taken for dead: the latter one or two beats later. */
  #alive(more) {
    clearTimeout(this.watching);
    if (!this.run) return;
    const beat = this.#beat();
    const opening = this.leading && !this.heard && !(this.transport === "poll" && this.state === "connected");
    const ms = opening ? this.options.openWithin : beat * (this.options.silence + more * (1 + Math.random()));
    this.deadline = Date.now() + ms;
    this.watching = setTimeout(() => this.watchdog?.(), ms);
  }

  /** The longest silence to expect: of the server, or for a tab that follows of the leader. */
  #beat() {
    if (!this.leading) return this.beat;
    return this.transport === "poll" ? pollWait * 1.2 : this.heartbeat;
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

/** How many ms a Retry-After asks to wait: it holds seconds or a date (RFC 9110, 10.2.3). */
function retryIn(value) {
  if (!value) return 0;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? ms : 0;
}

/** Whose token it is and what it shows, for naming things: the server verifies it. Who sees other types stands at another cursor. */
function userOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return [claims.app, claims.sub, ...[...claims.types ?? []].sort()].join(".");
  } catch {
    return "";
  }
}

/** Where the server is, written the same way by every page. */
function home(url) {
  try {
    return new URL(`${url}/`, globalThis.location?.href).href;
  } catch {
    return url;
  }
}

/** What a promise becomes, or an error when it becomes nothing in so many ms. */
function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: no answer in ${ms / 1000} s`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

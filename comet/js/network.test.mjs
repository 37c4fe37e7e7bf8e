// How the module behaves on networks that are not well. Run by TestTheBrowserModuleOnNetworksThatAreNotWell with node; there
// is no server: fetch and WebSocket are replaced.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lines, Tidings } from "./tidings.js";

const hello = { cursor: "e.0", heartbeat_ms: 25000 };
const json = (value, status = 200, headers = {}) => new Response(JSON.stringify(value), { status, headers });

/** A stream of frames that stays open until it is left. */
function open(signal, ...frames) {
  return new Response(new ReadableStream({
    start(controller) {
      for (const f of frames) controller.enqueue(new TextEncoder().encode(JSON.stringify(f) + "\n"));
      signal.addEventListener("abort", () => controller.error(new DOMException("left", "AbortError")));
    },
  }));
}

/** A network: routes by the last word of the path. It keeps what was asked. */
function network(routes) {
  const asked = [];
  const fetch = async (address, init = {}) => {
    const url = new URL(address, "http://node"), name = url.pathname.split("/").pop();
    asked.push(name);
    if (!routes[name]) return json({}, 404);
    return routes[name](init, url);
  };
  return { asked, fetch };
}

/** A socket that does what the server makes of it. */
function sockets(serve) {
  return class {
    constructor(address, protocols) {
      Object.assign(this, { address, protocols, said: [] });
      queueMicrotask(() => serve(this));
    }
    send(text) { this.said.push(JSON.parse(text)); }
    hear(frame) { this.readyState = 1; this.onmessage?.({ data: JSON.stringify(frame) }); }
    refuse() { this.onerror?.(); this.onclose?.({ code: 1006, reason: "" }); }
    close() { this.left = true; }
  };
}

const fast = { token: () => "t", url: "http://node", storage: null, minBackoff: 2, maxBackoff: 20, ackDelay: 2, openWithin: 50, EventSource: null };

/** Runs a client until done answers true. */
async function run(options, done) {
  const t = new Tidings({ ...fast, ...options });
  const got = { states: [], errors: [], messages: [], closes: [] };
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => { t.stop(); reject(new Error("not in time: " + JSON.stringify(got))); }, 8000);
    const look = () => { if (done(t, got)) { clearTimeout(late); resolve(); } };
    t.on("unread", () => queueMicrotask(look));
    t.on("state", (s) => { got.states.push(s); queueMicrotask(look); });
    t.on("error", (e) => { got.errors.push(e); queueMicrotask(look); });
    t.on("close", (c) => { got.closes.push(c); queueMicrotask(look); });
    t.on("message", (m) => { got.messages.push(m.number); queueMicrotask(look); });
    t.start();
  });
  const seen = { t, ...got, states: [...got.states] };
  t.stop();
  return seen;
}

const connected = (t) => t.state === "connected";

test("every way in which frames are cut into chunks gives the same frames", () => {
  const frames = [{ cursor: "e.0", heartbeat_ms: 25000 }, { cursor: "e.1", messages: [{ number: 1, title: "发货 🎉" }] }, { cursor: "e.1" }];
  const bytes = new TextEncoder().encode(frames.map((f) => JSON.stringify(f) + "\n").join("\n")); // an empty line is no frame
  for (let one = 0; one <= bytes.length; one++) {
    for (let two = one; two <= bytes.length; two++) {
      const got = [];
      const lines = new Lines((line) => got.push(JSON.parse(line)));
      for (const part of [bytes.slice(0, one), bytes.slice(one, two), bytes.slice(two)]) lines.push(part);
      assert.deepEqual(got, frames, `cut at ${one} and ${two}`);
    }
  }
});

test("a WebSocket is the first choice, with the token outside of the address, and it carries the acknowledgements", async () => {
  const made = [];
  const WebSocket = sockets((s) => { made.push(s); s.hear(hello); s.hear({ cursor: "e.1", messages: [{ number: 1 }] }); });
  const { asked, fetch } = network({});
  const { t, messages, errors } = await run({ fetch, WebSocket, token: () => "secret" }, (_, got) => got.messages.length === 1);
  assert.deepEqual(messages, [1]);
  assert.deepEqual(errors, []);
  assert.equal(t.transport, "ws");
  assert.match(made[0].address, /^ws:\/\/node\/comet\/ws\?client=/);
  assert.doesNotMatch(made[0].address, /secret/);
  assert.deepEqual(made[0].protocols, ["tidings.v1", "bearer.secret"]);
  assert.deepEqual(made[0].said, [{ ack: "e.1" }]);
  assert.equal(made[0].left, true);
  assert.deepEqual(asked, []);
});

test("what was read on another device: the counter follows", async () => {
  let left = 3;
  const { asked, fetch } = network({
    unread: () => json({ unread: left }),
    stream: ({ signal }) => { left = 1; return open(signal, hello, { cursor: "e.0", marked: { mark: "read", ids: ["a", "b"] } }); },
  });
  const t = new Tidings({ ...fast, fetch, api: "", transports: ["stream"] });
  const reads = [];
  await new Promise((resolve) => {
    t.subscribe({ read: (r) => reads.push(r), unread: (n) => n === 1 && reads.length && resolve() });
  });
  t.stop();
  assert.deepEqual(reads, [{ mark: "read", ids: ["a", "b"] }]);
  assert.ok(asked.filter((a) => a === "unread").length >= 2);
});

test("a node without WebSocket: the stream takes over at once, and nobody hears of an error", async () => {
  const WebSocket = sockets((s) => s.refuse());
  const { fetch } = network({ stream: ({ signal }) => open(signal, hello) });
  const { t, errors, states } = await run({ fetch, WebSocket }, connected);
  assert.equal(t.transport, "stream");
  assert.deepEqual(errors, []);
  assert.deepEqual(states, ["connecting", "connected"]);
});

test("a proxy that holds everything back until it ends: poll is what remains", async () => {
  const silent = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const { fetch } = network({ stream: silent, poll: () => json({ cursor: "e.3", messages: [] }) });
  const { t } = await run({ fetch, WebSocket: sockets(() => {}) }, connected);
  assert.equal(t.transport, "poll");
});

test("an acknowledgement that a socket took with it when it ended is said again on the next", async () => {
  const made = [];
  const WebSocket = sockets((s) => {
    made.push(s);
    s.hear(hello);
    if (made.length === 1) {
      s.hear({ cursor: "e.1", messages: [{ number: 1 }] });
      setTimeout(() => s.onclose({ code: 1006, reason: "" }), 40);
    }
  });
  const t = new Tidings({ ...fast, fetch: network({}).fetch, WebSocket });
  t.start();
  const end = Date.now() + 5000;
  while (!made[1]?.said.length && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
  t.stop();
  assert.deepEqual(made[0].said, [{ ack: "e.1" }]);
  assert.deepEqual(made[1]?.said, [{ ack: "e.1" }]);
});

test("a token that the page takes long to renew costs no transport and leaves no socket behind", async () => {
  const made = [];
  let tokens = 0;
  const token = () => ++tokens === 1 ? "first" : new Promise((resolve) => setTimeout(resolve, 150, "second"));
  const WebSocket = sockets((s) => {
    made.push(s);
    s.hear(hello);
    if (made.length === 1) s.hear({ cursor: "e.0", close: { code: 3001, reason: "token_expired", retry_ms: 1 } });
    else s.hear({ cursor: "e.1", messages: [{ number: 1 }] });
  });
  const { t, messages, errors } = await run({ fetch: network({}).fetch, WebSocket, token }, (_, got) => got.messages.length === 1);
  assert.equal(t.transport, "ws");
  assert.deepEqual(messages, [1]);
  assert.deepEqual(errors, []);
  assert.deepEqual(made.map((s) => s.protocols[1]), ["bearer.first", "bearer.second"]);
  assert.ok(made.every((s) => s.left));
});

test("a token that never comes is asked for again", async () => {
  let tokens = 0;
  const token = () => ++tokens === 1 ? new Promise(() => {}) : "t";
  const { errors } = await run({ fetch: network({}).fetch, WebSocket: sockets((s) => s.hear(hello)), token, tokenWithin: 20 }, connected);
  assert.equal(errors.length, 1);
});

test("pages of two applications, or of tokens that show other types, are clients of their own", async () => {
  const kept = new Map(), storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  const locks = { request: async (name, options, f) => f(), query: async () => {} };
  const BroadcastChannel = class { postMessage() {} close() {} };
  const clients = [];
  const WebSocket = sockets((s) => { clients.push(new URL(s.address).searchParams.get("client")); s.hear(hello); });
  const of = (claims) => () => "h." + btoa(JSON.stringify(claims)) + ".s";
  for (const claims of [{ app: "a", sub: "ann" }, { app: "b", sub: "ann" }, { app: "a", sub: "ann", types: ["y", "x"] }, { app: "a", sub: "ann", types: ["x", "y"] }, { app: "a", sub: "ann" }]) {
    await run({ fetch: network({}).fetch, WebSocket, token: of(claims), storage, locks, BroadcastChannel }, connected);
  }
  assert.equal(new Set(clients).size, 3);
  assert.equal(clients[0], clients[4]);
  assert.equal(clients[2], clients[3]);
});

test("a better transport is tried again, and used when it works", async () => {
  let tries = 0;
  const WebSocket = sockets((s) => { if (++tries < 3) s.refuse(); else s.hear({ cursor: "e.1", heartbeat_ms: 25000, messages: [{ number: 1 }] }); });
  const { fetch } = network({ stream: ({ signal }) => open(signal, hello) });
  const { t, states, errors } = await run({ fetch, WebSocket, upgradeAfter: 30 }, (_, got) => got.messages.length === 1);
  assert.equal(t.transport, "ws");
  assert.equal(tries, 3);
  assert.deepEqual(states, ["connecting", "connected"], "the tries are not seen");
  assert.deepEqual(errors, []);
});

test("a network that is down and a node that is full are no fault of the transport's", async () => {
  let down = 5;
  const WebSocket = sockets((s) => { if (down > 0) s.refuse(); else s.hear(hello); });
  const { fetch } = network({ stream: () => {
    if (down-- > 2) throw new TypeError("failed to fetch");
    return json({}, 503);
  } });
  const { t, errors } = await run({ fetch, WebSocket }, connected);
  assert.equal(t.transport, "ws");
  assert.equal(errors.length, 5);
});

test("Retry-After is kept to, as seconds and as a date", async () => {
  for (const make of [() => "1", () => new Date(Date.now() + 2000).toUTCString()]) { // a date has whole seconds
    const value = make();
    let full = true;
    const { fetch } = network({ stream: ({ signal }) => {
      if (!full) return open(signal, hello);
      full = false;
      return json({ title: "full" }, 503, { "Retry-After": value });
    } });
    const began = Date.now();
    const { t, errors } = await run({ fetch, transports: ["stream", "poll"] }, connected);
    assert.ok(Date.now() - began > 900, `${value}: after ${Date.now() - began} ms`);
    assert.equal(errors[0].status, 503);
    assert.equal(t.transport, "stream");
  }
});

test("a node that is being stopped says when to come back", async () => {
  let first = true;
  const { fetch } = network({ stream: ({ signal }) => {
    const frames = first ? [hello, { cursor: "e.0", close: { code: 3000, reason: "going_away", retry_ms: 400 } }] : [{ cursor: "e.1", messages: [{ number: 1 }] }];
    first = false;
    return open(signal, ...frames);
  } });
  const began = Date.now();
  const { closes } = await run({ fetch, transports: ["stream"] }, (_, got) => got.messages.length === 1);
  assert.ok(Date.now() - began >= 390);
  assert.deepEqual(closes.map((c) => c.code), [3000]);
});

test("a code of 3500 or more is the end, also when only the socket's close says it", async () => {
  let opened = 0;
  const WebSocket = sockets((s) => { opened++; s.hear(hello); s.onclose({ code: 3501, reason: "too_many_open" }); });
  const { fetch } = network({});
  const { closes } = await run({ fetch, WebSocket }, (t) => t.state === "stopped");
  assert.deepEqual(closes, [{ code: 3501, reason: "too_many_open" }]);
  assert.equal(opened, 1);
});

test("who greets and hangs up at once is not asked a hundred times a second", async () => {
  let opened = 0;
  const { fetch } = network({ stream: () => { opened++; return new Response(JSON.stringify(hello) + "\n"); } });
  const t = new Tidings({ ...fast, fetch, transports: ["stream"], minBackoff: 20, maxBackoff: 10000 });
  t.start();
  await new Promise((resolve) => setTimeout(resolve, 600));
  t.stop();
  assert.ok(opened >= 2 && opened < 20, `${opened} times`);
});

test("an acknowledgement that fails is said again with the next frame", async () => {
  let acks = 0, say;
  const { fetch } = network({
    ack: () => json({}, ++acks === 1 ? 503 : 200),
    stream: ({ signal }) => new Response(new ReadableStream({ start(controller) {
      say = (f) => controller.enqueue(new TextEncoder().encode(JSON.stringify(f) + "\n"));
      say({ cursor: "e.1", messages: [{ number: 1 }] });
      signal.addEventListener("abort", () => controller.close());
    } })),
  });
  const t = new Tidings({ ...fast, fetch, cursor: "e.0", transports: ["stream"] });
  t.start();
  for (let i = 0; i < 200 && acks < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (acks === 1) say({ cursor: "e.1" });
  }
  t.stop();
  assert.equal(acks, 2);
});

test("a token that has ended is asked for anew, once for all who wait", async () => {
  let asked = 0;
  const { fetch } = network({
    unread: ({ headers }) => headers.Authorization === "Bearer t1" ? json({}, 401) : json({ unread: 4 }),
    stream: ({ headers, signal }) => headers.Authorization === "Bearer t1" ? json({}, 401) : open(signal, hello),
  });
  const token = async () => { const n = ++asked; await new Promise((r) => setTimeout(r, 5)); return "t" + n; };
  const { t, errors } = await run({ fetch, api: "http://node", transports: ["stream"], token }, (t) => connected(t) && t.unread === 4);
  assert.equal(t.unread, 4);
  assert.deepEqual(errors, []);
  assert.ok(asked <= 3, `${asked} times`);
});

test("messages by for await, and what is marked", async () => {
  const marked = [];
  const { fetch } = network({
    unread: () => json({ unread: 2 - marked.length }),
    read: ({ body }) => { marked.push(JSON.parse(body)); return json({ changed: 1 }); },
    stream: ({ signal }) => open(signal, { cursor: "e.2", messages: [{ number: 1, id: "a" }, { number: 2, id: "b" }] }),
  });
  const t = new Tidings({ ...fast, fetch, api: "", cursor: "e.0", transports: ["stream"] });
  const reads = [], got = [];
  t.on("read", (r) => reads.push(r));
  for await (const m of t) {
    got.push(m.number);
    await t.markRead(m.id);
    if (m.number === 2) t.stop();
  }
  assert.deepEqual(got, [1, 2]);
  assert.deepEqual(marked, [{ ids: ["a"] }, { ids: ["b"] }]);
  assert.deepEqual(reads, [{ mark: "read", ids: ["a"] }, { mark: "read", ids: ["b"] }]);
  assert.equal(t.unread, 0);
  await assert.rejects(new Tidings(fast).markRead("a"), /api/);
});

test("a page whose storage is forbidden works without", async () => {
  const storage = { getItem() { throw new Error("forbidden"); }, setItem() { throw new Error("forbidden"); } };
  const { fetch } = network({ stream: ({ signal }) => open(signal, { cursor: "e.1", messages: [{ number: 1 }] }) });
  const { messages } = await run({ fetch, storage, cursor: "e.0", transports: ["stream"] }, (_, got) => got.messages.length === 1);
  assert.deepEqual(messages, [1]);
});

// Run by TestTheBrowserModule with node. Arguments: the node's URL and a user token; or none for the parts alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Lines, Tidings } from "./tidings.js";

const [url, token] = [process.env.TIDINGS_URL, process.env.TIDINGS_TOKEN];

test("text survives being cut at every byte", () => {
  const text = JSON.stringify({ cursor: "e.1", messages: [{ number: 1, title: "订单已发货 🎉 é" }] });
  const bytes = new TextEncoder().encode(text + "\n");
  for (let cut = 0; cut <= bytes.length; cut++) {
    const got = [];
    const lines = new Lines((line) => got.push(line));
    lines.push(bytes.slice(0, cut));
    lines.push(bytes.slice(cut));
    assert.deepEqual(got, [text], `cut at ${cut}`);
  }
  const got = [];
  const lines = new Lines((line) => got.push(line));
  for (const byte of bytes) lines.push(Uint8Array.of(byte));
  assert.deepEqual(got, [text]);
});

test("a repeated number is dropped and a reset is told", () => {
  const t = new Tidings({ token: () => "x", storage: null, cursor: "e.0", transports: ["poll"] });
  const got = [];
  t.on("message", (m) => got.push(m.number));
  t.on("gone", (m) => got.push(-m.number));
  t.on("reset", () => got.push("reset"));
  t.receive({ cursor: "e.2", messages: [{ number: 1 }, { number: 2 }] });
  t.receive({ cursor: "e.3", messages: [{ number: 2 }, { number: 3, gone: true }] });
  t.receive({ cursor: "f.7", reset: true });
  t.receive({ cursor: "f.8", messages: [{ number: 8 }] });
  t.stop();
  clearTimeout(t.watching);
  assert.deepEqual(got, [1, 2, -3, "reset", 8]);
  assert.equal(t.cursor, "f.8");
});

// A server-sent events client, since node 20 has none: what the browser's does with our frames.
class EventSource {
  constructor(address) {
    this.abort = new AbortController();
    this.run(address).catch((e) => this.onerror?.(e));
  }
  async run(address) {
    const response = await fetch(address, { signal: this.abort.signal });
    if (!response.ok) throw new Error(response.status);
    const lines = new Lines((line) => line.startsWith("data: ") && this.onmessage({ data: line.slice(6) }));
    for await (const chunk of response.body) lines.push(chunk);
    throw new Error("ended");
  }
  close() { this.abort.abort(); }
}

for (const transport of ["stream", "events", "poll"]) {
  test(`${transport}: everything arrives in order and once`, { skip: false }, async () => {
    const t = new Tidings({ url, token: () => token, storage: null, client: transport, cursor: "e1.0", transports: [transport], EventSource, minBackoff: 10, ackDelay: 10 });
    const got = [];
    await new Promise((resolve, reject) => {
      t.on("error", reject);
      t.on("message", (m) => {
        assert.equal(m.title, "订单已发货 " + m.number);
        if (got.push(m.number) === 20) resolve();
      });
      t.start();
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.stop();
    clearTimeout(t.watching);
    assert.deepEqual(got, Array.from({ length: 20 }, (_, i) => i + 1));
    assert.equal(t.unread, 20);
  });
}

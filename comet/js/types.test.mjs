// The types say what the modules have: a TypeScript program is not told of what is not there, and misses nothing. Run by
// TestTheTypesSayWhatTheModulesHave with node.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as client from "./tidings.js";
import * as bell from "./tidings-bell.js";

const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const without = (text) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
const types = without(read("tidings.d.ts"));

/** What stands between the braces of a declaration. */
function body(text, head) {
  const from = text.indexOf(head);
  assert.notEqual(from, -1, head);
  const begin = text.indexOf("{", from);
  let depth = 0, at = begin;
  do depth += { "{": 1, "}": -1 }[text[at++]] ?? 0; while (depth > 0);
  return text.slice(begin + 1, at - 1);
}

const names = (text) => [...text.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(<]/gm)].map((m) => m[1]);
const values = (text) => [...without(text).matchAll(/export declare (?:class|const) (\w+)/g)].map((m) => m[1]).sort();
const same = (a, b) => assert.deepEqual([...new Set(a)].sort(), [...new Set(b)].sort());

test("exports", () => {
  same(values(read("tidings.d.ts")), Object.keys(client));
  same(values(read("tidings-bell.d.ts")), Object.keys(bell));
});

test("options", () => same(names(body(types, "interface Options")), Object.keys(client.defaults)));

test("events are those that are told", () => {
  const told = [...read("tidings.js").matchAll(/#emit\("(\w+)"/g)].map((m) => m[1]);
  same(names(body(types, "interface Events")), told);
});

test("what a client has", () => {
  const t = new client.Tidings({ token: () => "t", storage: null });
  const declared = names(body(types, "declare class Tidings")).filter((n) => n !== "constructor");
  for (const name of declared) assert.ok(name in t, `${name} is declared and not there`);
  const own = Object.getOwnPropertyNames(client.Tidings.prototype).filter((n) => n !== "constructor" && !n.startsWith("_"));
  for (const name of own) assert.ok(declared.includes(name), `${name} is there and not declared`);
  assert.match(types, /\[Symbol\.asyncIterator\]/);
  assert.equal(typeof t[Symbol.asyncIterator], "function");
});

test("transports are those that can be run", () => {
  const declared = types.match(/type Transport = ([^;]+)/)[1].match(/\w+/g);
  same(declared, client.defaults.transports);
  for (const name of declared) assert.equal(typeof client.Tidings.prototype["_" + name], "function", name);
});

test("attributes of the bell that are watched or read stand in its types and in the README", () => {
  const source = read("tidings-bell.js");
  const used = [...source.matchAll(/(?:get|has)Attribute\("([\w-]+)"\)|:host\((?::not\()?\[([\w-]+)/g)].map((m) => m[1] ?? m[2]).filter((n) => n !== "hidden");
  for (const name of [...used, ...bell.TidingsBell.observedAttributes]) {
    assert.ok(read("tidings-bell.d.ts").includes(name), `${name}: types`);
    assert.ok(read("README.md").includes("`" + name), `${name}: README`);
  }
  for (const [property] of source.matchAll(/--tidings-\w+(-\w+)*/g)) assert.ok(read("README.md").includes("`" + property + "`"), property);
});

test("the package has what it names", () => {
  const p = JSON.parse(read("package.json"));
  for (const name of [...p.files, p.main, p.types, ...Object.values(p.exports).flatMap((e) => typeof e === "string" ? [e] : Object.values(e))]) read(name);
});

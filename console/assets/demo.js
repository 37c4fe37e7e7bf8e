// The demo page: messages arrive over the transport that the person chooses, and the history is read from the API.
import { Tidings } from "/assets/tidings.js";
import "/assets/tidings-bell.js";
import { answered, line, through as named } from "/assets/messages.js";

const { user, lang, comet, texts: textsJSON } = document.body.dataset;
const texts = JSON.parse(textsJSON);
const at = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(lang === "zh" ? "zh-CN" : "en", { dateStyle: "medium", timeStyle: "medium" });
const LIVE_KEPT = 50;

// A token lives an hour; a new one is fetched some minutes before.
let token = { token: "", expires_at: 0 };
async function freshToken() {
  if (new Date(token.expires_at) - Date.now() < 300000) token = await post("/demo/token", { user });
  return token.token;
}

async function post(path, body) {
  return answered(await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }));
}

async function get(path) {
  return answered(await fetch(path, { headers: { Authorization: "Bearer " + await freshToken() } }));
}

function note(text, wrong = false) {
  at("note").textContent = text;
  at("note").classList.toggle("wrong", wrong);
}
const failed = (error) => note(`${texts.failed}: ${error.message}`, true);
const on = (id, event, act) => at(id).addEventListener(event, (e) => Promise.resolve(act(e)).catch(failed));

// What is shown of each message, by id: it may stand in both lists.
const shown = new Map();

const lineTexts = { read: texts.read, wasRead: texts.was_read, you: texts.to_user, merchant: texts.to_merchant, store: texts.to_store };
const through = (via) => named(via, lineTexts);

function item(message) {
  const li = line(message, { texts: lineTexts, clock, markRead: (id) => markRead(id).catch(failed) });
  if (!shown.has(message.id)) shown.set(message.id, { message, items: new Set() });
  shown.get(message.id).items.add(li);
  return li;
}

function forget(li) {
  shown.get(li.dataset.id)?.items.delete(li);
  li.remove();
}

function redraw(id, changes) {
  const entry = shown.get(id);
  if (!entry) return;
  Object.assign(entry.message, changes);
  for (const old of [...entry.items]) {
    entry.items.delete(old);
    const fresh = item(entry.message);
    fresh.classList.toggle("fresh", old.classList.contains("fresh"));
    const focused = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (focused) { fresh.tabIndex = -1; fresh.focus(); }
  }
}

// Reading.

const markRead = (id) => client.markRead(id);

// marked is heard whatever was marked where: by this page, its bell, another tab or another device.
function marked({ mark, ids = [], up_to = "" }) {
  if (mark !== "read") return;
  for (const [id, { message }] of [...shown]) {
    if (!message.read_at && (ids.includes(id) || id <= up_to)) redraw(id, { read_at: new Date().toISOString() });
  }
}

function showUnread(n) {
  at("unread").textContent = `${n} ${texts.unread}`;
  at("unread").hidden = !n;
  document.title = (n ? `(${n}) ` : "") + texts.title + " · Tidings";
}

// History.

let oldest = "", newest = "", loads = 0;

function filter() {
  const q = new URLSearchParams({ limit: "20" });
  if (at("only-unread").checked) q.set("unread", "true");
  const dimension = at("dimension").value;
  if (dimension) q.set(dimension[0] === "m" ? "merchant" : "store", dimension.slice(2));
  return q;
}

async function loadHistory(more = false) {
  const load = ++loads, q = filter();
  if (more) q.set("before", oldest);
  const { data, page } = await get("/v1/inbox?" + q);
  if (load !== loads) return; // another filter was chosen meanwhile
  const list = at("past-list");
  if (!more) {
    [...list.children].forEach(forget);
    newest = data[0]?.id || "";
  }
  data.forEach((m) => { list.append(item(m)); offer(m.via); });
  oldest = page.before;
  at("older").hidden = !page.has_more;
  at("empty").hidden = list.children.length > 0;
}

// offer adds the dimensions through which messages came to the filter.
function offer(via = []) {
  const select = at("dimension");
  for (const v of via) {
    if (v !== "u" && ![...select.options].some((o) => o.value === v)) select.add(new Option(through([v]), v));
  }
}

function fits(message) {
  const dimension = at("dimension").value;
  return !dimension || (message.via || []).includes(dimension);
}

// Arriving.

function arrive(message) {
  const live = at("live");
  const li = item(message);
  li.classList.add("fresh");
  live.prepend(li);
  while (live.children.length > LIVE_KEPT) forget(live.lastElementChild);
  at("nothing").hidden = true;
  offer(message.via);
  if (fits(message) && ![...at("past-list").children].some((old) => old.dataset.id === message.id)) {
    at("past-list").prepend(item(message));
    at("empty").hidden = true;
  }
  if (message.id > newest) newest = message.id;
}

// A cursor belongs to a user, so each user of this page is a client of its own.
function clientName() {
  const key = "tidings.demo." + user;
  let name = localStorage.getItem(key);
  if (!name) localStorage.setItem(key, name = "demo-" + crypto.getRandomValues(new Uint32Array(3)).join("-"));
  return name;
}

let client;
const states = { connecting: "connecting", connected: "open", waiting: "waiting", stopped: "closed" };

function listen(transport) {
  client?.stop();
  client = new Tidings({
    url: comet || "", api: "", token: freshToken, transports: [transport], client: clientName(),
  });
  at("bell").client = client;
  client.on("message", arrive);
  client.on("read", marked);
  client.on("gone", () => loadHistory().catch(failed));
  client.on("reset", () => { note(texts.reset); loadHistory().catch(failed); });
  client.on("unread", showUnread);
  client.on("state", (s) => showState(states[s] || "closed", transport));
  client.on("close", (c) => { if (c.code >= 3500) { showState("closed", transport); note(`${texts.closed}: ${c.reason}`, true); } });
  client.start();
}

function showState(state, transport) {
  const e = at("state");
  e.dataset.state = state;
  e.dataset.transport = transport;
  e.textContent = texts[state] + (state === "open" ? " · " + texts[transport] : "");
}

// The controls.

function start() {
  const kept = localStorage.getItem("tidings.demo.transport");
  const transport = ["ws", "events", "stream", "poll"].includes(kept) ? kept : "events";
  for (const radio of document.querySelectorAll("input[name=transport]")) {
    radio.checked = radio.value === transport;
    radio.addEventListener("change", () => {
      localStorage.setItem("tidings.demo.transport", radio.value);
      listen(radio.value);
    });
  }
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", () => {
      post("/demo/send", { user, example: button.dataset.example, locale: lang === "zh" ? "zh-CN" : "en-US" })
        .then(({ id }) => note(`${texts.sent}: ${id}`), failed);
    });
  }
  on("user", "change", () => { location.search = new URLSearchParams({ lang, user: at("user").value }); });
  at("language").search = new URLSearchParams({ lang: lang === "zh" ? "en" : "zh", user });
  on("only-unread", "change", () => loadHistory());
  on("dimension", "change", () => loadHistory());
  on("older", "click", () => loadHistory(true));
  on("read-all", "click", async () => {
    if (!newest) return;
    await client.markAllRead(newest);
    await loadHistory();
  });
  listen(transport);
  loadHistory().catch(failed);
}

start();

// The message centre of a merchant's user. It is opened as /inbox#token=<user token> by the merchant's own page, which mints
// the token; a fragment is never sent to a server, and it is taken out of the address at once.
import { Tidings } from "/assets/tidings.js";
import { answered, line, through } from "/assets/messages.js";

const { lang, comet, texts: textsJSON } = document.body.dataset;
const texts = JSON.parse(textsJSON);
const at = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(lang === "zh" ? "zh-CN" : "en", { dateStyle: "medium", timeStyle: "short" });
const lineTexts = { read: texts.read, wasRead: texts["was-read"], you: texts.you, merchant: texts.merchant, store: texts.store,
  spared: (reason) => texts["reason." + reason] || reason };
const KEPT = "tidings.inbox.token"; // for a reload of this tab
const PAGE = 20;

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEPT, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return given || sessionStorage.getItem(KEPT) || "";
}

/** The user whom a token names; "" when it is none of ours. */
function userOf(token) {
  try {
    const middle = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(middle)).sub || "";
  } catch { return ""; }
}

let token = takeToken();

function note(text, wrong = false) {
  at("note").textContent = text;
  at("note").classList.toggle("wrong", wrong);
}

function failed(error) {
  if (error.status === 401) ended();
  else note(`${texts.failed}: ${error.message}`, true);
}

function ended() {
  sessionStorage.removeItem(KEPT);
  client?.stop();
  showState("closed");
  note(texts.ended, true);
}

const headers = () => ({ Authorization: "Bearer " + token });
const get = async (path) => answered(await fetch(path, { headers: headers() }));

// The list.

const shown = new Map(); // message id → { message, li }
let oldest = "", newest = "", loads = 0;

function filter() {
  const q = new URLSearchParams({ limit: PAGE });
  if (at("only-unread").checked) q.set("unread", "true");
  const dimension = at("dimension").value;
  if (dimension) q.set(dimension[0] === "m" ? "merchant" : "store", dimension.slice(2));
  return q;
}

const draw = (message) => line(message, { texts: lineTexts, clock, markRead: (id) => markRead(id).catch(failed) });

function keep(message, place) {
  const li = draw(message);
  shown.set(message.id, { message, li });
  at("list")[place](li);
  offer(message.via);
  return li;
}

function redraw(id, changes) {
  const entry = shown.get(id);
  if (!entry) return;
  Object.assign(entry.message, changes);
  const fresh = draw(entry.message), focused = entry.li.contains(document.activeElement);
  fresh.classList.toggle("fresh", entry.li.classList.contains("fresh"));
  entry.li.replaceWith(fresh);
  entry.li = fresh;
  if (focused) { fresh.tabIndex = -1; fresh.focus(); }
}

async function load(more = false) {
  const turn = ++loads, q = filter();
  if (more) q.set("before", oldest);
  const { data, page } = await get("/v1/inbox?" + q);
  if (turn !== loads) return; // another filter was chosen meanwhile
  if (!more) {
    shown.clear();
    at("list").replaceChildren();
    newest = data[0]?.id || "";
  }
  data.forEach((m) => keep(m, "append"));
  oldest = page.before;
  at("older").hidden = !page.has_more;
  at("empty").hidden = shown.size > 0;
}

// offer adds the dimensions through which messages came to the filter.
function offer(via = []) {
  const select = at("dimension");
  for (const v of via) {
    if (v !== "u" && ![...select.options].some((o) => o.value === v)) select.add(new Option(through([v], lineTexts), v));
  }
}

function arrive(message) {
  const dimension = at("dimension").value;
  offer(message.via);
  if (message.id > newest) newest = message.id;
  if (shown.has(message.id) || dimension && !(message.via || []).includes(dimension)) return;
  if (message.replaces) load().catch(failed); // an older one may be gone
  else keep(message, "prepend").classList.add("fresh");
  at("empty").hidden = true;
  note(`${texts.new}: ${message.title || message.type}`);
}

// Reading.

const markRead = (id) => client.markRead(id);

// marked is heard whatever was marked where: by this page, another tab or another device.
function marked({ mark, ids = [], up_to = "" }) {
  if (mark !== "read") return;
  for (const [id, { message }] of [...shown]) {
    if (!message.read_at && (ids.includes(id) || id <= up_to)) redraw(id, { read_at: new Date().toISOString() });
  }
}

function showUnread(n) {
  at("unread").textContent = n > 99 ? "99+" : String(n);
  at("unread").setAttribute("aria-label", `${n} ${texts.unread}`);
  at("unread").hidden = !n;
  document.title = (n ? `(${n}) ` : "") + texts.title;
}

// Arriving.

let client;
const states = { connecting: "connecting", connected: "open", waiting: "waiting", stopped: "closed" };

function showState(state) {
  at("state").dataset.state = state;
  at("state").textContent = texts[state];
}

// A cursor belongs to a user, so each user of this browser is a client of its own.
function clientName() {
  const key = "tidings.inbox." + userOf(token);
  let name = localStorage.getItem(key);
  if (!name) localStorage.setItem(key, name = "inbox-" + crypto.getRandomValues(new Uint32Array(3)).join("-"));
  return name;
}

function listen() {
  client = new Tidings({ url: comet || "", api: "", token: () => token, client: clientName() });
  client.on("message", arrive);
  client.on("read", marked);
  client.on("gone", () => load().catch(failed));
  client.on("reset", () => { note(texts.reset); load().catch(failed); });
  client.on("unread", showUnread);
  client.on("state", (s) => showState(states[s] || "closed"));
  client.on("close", (c) => { if (c.code >= 3500) { showState("closed"); note(`${texts.closed}: ${c.reason}`, true); } });
  client.start();
}

const on = (id, event, act) => at(id).addEventListener(event, () => Promise.resolve(act()).catch(failed));
on("only-unread", "change", () => load());
on("dimension", "change", () => load());
on("older", "click", () => load(true));
on("read-all", "click", async () => {
  if (!newest) return;
  await client.markAllRead(newest);
  await load();
});
// The address takes a new token: the merchant's page renews it so.
addEventListener("hashchange", () => { if (location.hash.includes("token=")) location.reload(); });

if (!token) {
  showState("closed");
  note(texts["no-token"], true);
} else {
  listen();
  load().catch(failed);
}

// What a merchant's user wants to be sent. The token is the message centre's, kept in this tab.
import { answered, element } from "/assets/messages.js";

const { texts, channels: listed } = JSON.parse(document.body.dataset.page);
const channels = Object.fromEntries(listed);
const at = (id) => document.getElementById(id);
const KEPT = "tidings.inbox.token";

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEPT, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return given || sessionStorage.getItem(KEPT) || "";
}

const token = takeToken();

function note(text, wrong = false) {
  at("note").textContent = text;
  at("note").classList.toggle("wrong", wrong);
}

function failed(error) {
  if (error.status !== 401) return note(`${texts.failed}: ${error.message}`, true);
  sessionStorage.removeItem(KEPT);
  at("form").hidden = true;
  note(texts.ended, true);
}

async function call(method, body) {
  return answered(await fetch("/v1/preferences", { method, body: body && JSON.stringify(body),
    headers: { Authorization: "Bearer " + token, ...(body && { "Content-Type": "application/json" }) } }));
}

/** A box to tick, with its label. */
function box(parent, label, checked, disabled) {
  const wrap = element("label", "", parent, "choice");
  const input = element("input", "", wrap);
  input.type = "checkbox";
  input.checked = checked;
  input.disabled = disabled;
  wrap.append(" " + label + " ");
  return input;
}

let loaded, ticks = [], quietTicks = [];

function show(p) {
  loaded = p;
  ticks = [];
  at("types").replaceChildren();
  for (const t of p.types) {
    const set = element("fieldset", "", at("types"), "field");
    element("legend", `${t.title || t.type} · ${t.application_name}`, set);
    const row = element("div", "", set, "choices");
    for (const c of t.channels) {
      const must = t.mandatory.includes(c), was = !t.muted.includes(c);
      const input = box(row, (channels[c] || c) + (must ? ` (${texts.always})` : ""), must || was, must);
      if (!must) ticks.push({ input, was, rule: { application: t.application, type: t.type, channel: c } });
    }
  }
  if (!p.types.length) element("p", texts.none, at("types"), "empty");
  const q = p.quiet || { from: "", to: "", timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "Asia/Shanghai", channels: ["app", "sms"] };
  at("from").value = q.from;
  at("to").value = q.to;
  at("timezone").value = q.timezone;
  at("quiet-channels").replaceChildren();
  quietTicks = listed.map(([c, name]) => ({ c, input: box(at("quiet-channels"), name, q.channels.includes(c)) }));
  const shown = (r) => p.types.some((t) => t.application === r.application && t.type === r.type);
  at("other").textContent = texts.other;
  at("other").hidden = !p.rules.some((r) => !shown(r));
  at("form").hidden = false;
}

/** The rules as they stood, with one of its own for each box that was changed. */
function rules() {
  const changed = ticks.filter((t) => t.input.checked !== t.was);
  const same = (a, b) => a.application === b.application && a.type === b.type && a.channel === b.channel;
  return [...loaded.rules.filter((r) => !changed.some((t) => same(t.rule, r))), ...changed.map((t) => ({ ...t.rule, muted: !t.input.checked }))];
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { rules: rules() };
  if (at("from").value || at("to").value) {
    body.quiet = { from: at("from").value, to: at("to").value, timezone: at("timezone").value,
      channels: quietTicks.filter((t) => t.input.checked).map((t) => t.c) };
  }
  try {
    show(await call("PUT", body));
    note(texts.saved);
  } catch (error) { failed(error); }
});

if (token) call("GET").then(show).catch(failed);
else note(texts["no-token"], true);

// <tidings-bell>: a bell with the number of unread messages, and behind it the latest ones.
//
//   <script type="module" src="https://push.example.com/comet/tidings-bell.js"></script>
//   <tidings-bell url="https://push.example.com" api="https://api.example.com" token-url="/my/token" lang="zh"></tidings-bell>
//
// Or with a client of the page's own: document.querySelector("tidings-bell").client = tidings.
//
// What messages say is only ever set as text, and a link only when it leads to a web page. Styles are adopted and there is no
// inline script or style, so a strict Content-Security-Policy is no obstacle.
import { Tidings } from "./tidings.js";

const texts = {
  zh: {
    messages: "消息", unread: (n) => `消息，${n} 条未读`, none: "消息，没有未读", readAll: "全部已读", empty: "还没有消息", more: "更多", all: "查看全部",
    isNew: "未读", arrived: "新消息：", failed: "没有加载成功", again: "重试", offline: "连接已断开，正在重连", locale: "zh-CN",
  },
  en: {
    messages: "Messages", unread: (n) => `Messages, ${n} unread`, none: "Messages, none unread", readAll: "Mark all as read", empty: "No messages yet", more: "More",
    all: "See all", isNew: "Unread", arrived: "New message: ", failed: "Could not be loaded", again: "Try again", offline: "Disconnected, trying again", locale: "en",
  },
};

const sheet = globalThis.CSSStyleSheet && new CSSStyleSheet();
sheet?.replaceSync(`
:host { --accent: var(--tidings-accent, #0b5cad); --back: var(--tidings-background, #fff); --ink: var(--tidings-text, #1b1f24); --faint: var(--tidings-muted, #59636e);
  --line: var(--tidings-border, #d1d9e0); --badge: var(--tidings-badge, #c4161c); --fresh: var(--tidings-unread-background, #eef5fd); --round: var(--tidings-radius, 8px);
  display: inline-block; position: relative; font: var(--tidings-font, 14px/1.45 system-ui, "PingFang SC", "Microsoft YaHei", sans-serif); color: var(--ink); text-align: start; }
:host([hidden]) { display: none; }
@media (prefers-color-scheme: dark) { :host(:not([scheme="light"])) { --accent: var(--tidings-accent, #6cb6ff); --back: var(--tidings-background, #1c2128); --ink: var(--tidings-text, #e6edf3);
  --faint: var(--tidings-muted, #9da7b1); --line: var(--tidings-border, #3d444d); --badge: var(--tidings-badge, #c9302c); --fresh: var(--tidings-unread-background, #22303f); } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
button { font: inherit; color: inherit; background: none; border: 0; cursor: pointer; padding: 0; }
button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; border-radius: 4px; }
.bell { position: relative; display: grid; place-items: center; width: var(--tidings-size, 40px); height: var(--tidings-size, 40px); border-radius: 50%; color: var(--tidings-icon, inherit); }
.bell:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
svg { width: 60%; height: 60%; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.badge { position: absolute; top: 0; inset-inline-end: 0; min-width: 18px; height: 18px; padding: 0 5px; border-radius: 9px; background: var(--badge); color: #fff; font-size: 11px; line-height: 18px;
  font-weight: 600; text-align: center; font-variant-numeric: tabular-nums; }
.panel { position: absolute; z-index: var(--tidings-layer, 1000); inset-inline-end: 0; top: calc(100% + 6px); width: var(--tidings-width, 360px); max-width: calc(100vw - 16px);
  display: flex; flex-direction: column; max-height: min(480px, 75vh); overflow: hidden; background: var(--back); color: var(--ink); border: 1px solid var(--line); border-radius: var(--round); box-shadow: 0 8px 24px rgb(0 0 0 / .18); }
:host([align="start"]) .panel { inset-inline: 0 auto; }
@media (max-width: 480px) { .panel { position: fixed; inset-inline: 8px !important; top: var(--below); width: auto; max-height: calc(100dvh - var(--below) - 8px); } }
@media (prefers-reduced-motion: no-preference) { .panel { animation: in .12s ease-out; } @keyframes in { from { opacity: 0; transform: translateY(-4px); } } }
header, footer { display: flex; align-items: center; justify-content: space-between; gap: 12px; padding: 10px 14px; border-bottom: 1px solid var(--line); }
footer { border: 0; border-top: 1px solid var(--line); justify-content: center; }
h2 { margin: 0; font-size: 1.05em; outline: none; }
.plain, footer a, .more { color: var(--accent); }
.plain:hover, footer a:hover, .more:hover { text-decoration: underline; }
ul { margin: 0; padding: 0; list-style: none; overflow-y: auto; overscroll-behavior: contain; }
li { border-bottom: 1px solid var(--line); }
li:last-child { border: 0; }
.item { display: block; width: 100%; padding: 10px 14px; text-align: start; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
.item:hover { background: color-mix(in srgb, var(--ink) 6%, transparent); }
.item:focus-visible { outline-offset: -2px; }
.unread { background: var(--fresh); }
.title { display: flex; align-items: baseline; gap: 8px; font-weight: 500; }
.unread .title { font-weight: 650; }
.dot { flex: none; width: 8px; height: 8px; border-radius: 50%; background: var(--accent); }
.body { display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; margin-top: 2px; }
time, .note { color: var(--faint); font-size: .88em; }
.note { margin: 0; padding: 18px 14px; text-align: center; }
.off { padding: 6px 14px; border-bottom: 1px solid var(--line); }
.more { width: 100%; padding: 10px; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (forced-colors: active) { .badge, .dot { forced-color-adjust: none; } }
`);

function element(tag, className, text, parent) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text) e.textContent = text;
  parent?.append(e);
  return e;
}

function drawing() {
  const make = (tag, of) => Object.entries(of).reduce((e, [k, v]) => (e.setAttribute(k, v), e), document.createElementNS("http://www.w3.org/2000/svg", tag));
  const svg = make("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  svg.append(make("path", { d: "M6 9.5a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4s2-1.5 2-6.5zM10 19.5a2.2 2.2 0 0 0 4 0" }));
  return svg;
}

/** The address, if it leads to a web page. */
function webPage(address) {
  try {
    const url = new URL(address, document.baseURI);
    return ["http:", "https:"].includes(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}

export class TidingsBell extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["lang", "url", "api", "token-url", "href"];

  #client = null;
  #own = false; // the client is ours to stop
  #ends = [];
  #items = [];
  #page = null; // the last one that was loaded
  #loads = 0;
  #failed = false;
  #built = null;

  constructor() {
    super();
    this.#build(this.attachShadow({ mode: "open" }));
  }

  /** The client that the bell listens to; it makes one from its attributes when it was given none. */
  get client() { return this.#client; }
  set client(client) {
    if (client === this.#client) return;
    this.#leave();
    this.#client = client ?? null;
    this.#own = false;
    if (this.isConnected) this.#join();
  }

  /** Whether the list is shown. */
  get open() { return !this.#built.panel.hidden; }
  set open(open) {
    const { panel, button, title } = this.#built;
    if (open === this.open) return;
    panel.style.setProperty("--below", `${Math.round(button.getBoundingClientRect().bottom) + 6}px`); // on a phone it takes the whole width
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    const { defaultView: view } = this.ownerDocument;
    view[open ? "addEventListener" : "removeEventListener"]("pointerdown", this.#elsewhere);
    this.dispatchEvent(new CustomEvent(open ? "open" : "close"));
    if (!open) return;
    if (!this.#page) this.#load();
    title.focus();
  }

  connectedCallback() {
    this.#say();
    this.#join();
  }

  disconnectedCallback() {
    this.open = false;
    queueMicrotask(() => this.isConnected || this.#leave()); // it may only be moved
  }

  attributeChangedCallback(name, old, now) {
    if (old === now || !this.isConnected) return;
    if (name !== "lang" && name !== "href" && this.#own) {
      this.#leave();
      this.#join();
    }
    this.#say();
  }

  // What it listens to.

  #join() {
    if (this.#ends.length) return;
    if (!this.#client) {
      if (!this.hasAttribute("token-url")) return; // a client will be given
      this.#client = new Tidings({ url: this.getAttribute("url") ?? "", api: this.getAttribute("api") ?? this.getAttribute("url") ?? "", token: () => this.#token() });
      this.#own = true;
    }
    const c = this.#client;
    const on = (event, act) => this.#ends.push(c.on(event, act));
    on("message", (m) => this.#arrive(m));
    on("gone", () => this.#renew());
    on("reset", () => this.#renew());
    on("read", (r) => this.#marked(r));
    on("unread", () => this.#say());
    on("state", () => this.#say());
    this.#items = [];
    this.#page = null;
    if (this.#own) c.start();
    if (this.open) this.#load();
    this.#say();
  }

  #leave() {
    for (const end of this.#ends) end();
    this.#ends = [];
    if (!this.#own) return;
    this.#client.stop();
    this.#client = null;
    this.#own = false;
  }

  /** Asks the page's own server, which knows who is logged in: it answers the token, as text or as {"token"}. */
  async #token() {
    const response = await fetch(this.getAttribute("token-url"), { credentials: "same-origin", cache: "no-store" });
    if (!response.ok) throw new Error(`the page's server answered ${response.status} when it was asked for a token`);
    const text = (await response.text()).trim();
    return text.startsWith("{") ? JSON.parse(text).token : text;
  }

  // What it shows.

  #arrive(message) {
    this.#built.spoken.textContent = this.#texts().arrived + (message.title || message.type || "");
    if (message.replaces) this.#renew();
    else if (this.#page && !this.#items.some((i) => i.id === message.id)) {
      this.#items.unshift({ ...message }); // the page may keep the same object
      this.#list();
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #marked({ ids = [], up_to, mark = "read" }) {
    const at = new Date().toISOString();
    const meant = (i) => ids.includes(i.id) || up_to !== undefined && i.id <= up_to; // ids grow with time
    if (!ids.length && up_to === undefined) return this.#renew(); // it is not said what
    if (mark === "archive") this.#items = this.#items.filter((i) => !meant(i));
    else if (mark === "read") for (const i of this.#items) if (meant(i)) i.read_at ??= at;
    this.#list();
  }

  #renew() {
    this.#page = null;
    if (this.open) this.#load();
  }

  async #load(more = false) {
    const turn = ++this.#loads, client = this.#client;
    if (!client) return;
    const query = { limit: this.getAttribute("limit") ?? "20" };
    if (more) query.before = this.#page.page.before;
    try {
      const page = await client.inbox(query);
      if (turn !== this.#loads) return; // asked again meanwhile
      this.#items = more ? [...this.#items, ...page.data] : page.data;
      this.#page = page;
      this.#failed = false;
    } catch {
      if (turn !== this.#loads) return;
      this.#failed = true;
    }
    this.#list();
  }

  #texts() {
    const lang = this.getAttribute("lang") || this.closest("[lang]")?.lang || navigator.language || "en";
    return texts[lang.toLowerCase().startsWith("zh") ? "zh" : "en"];
  }

  #build(root) {
    root.adoptedStyleSheets = [sheet];
    const b = this.#built = {};
    b.button = element("button", "bell", "", root);
    b.button.type = "button";
    b.button.setAttribute("part", "button");
    b.button.setAttribute("aria-haspopup", "dialog");
    b.button.setAttribute("aria-expanded", "false");
    b.button.setAttribute("aria-controls", "panel");
    b.button.append(drawing());
    b.badge = element("span", "badge", "", b.button);
    b.badge.setAttribute("part", "badge");
    b.badge.setAttribute("aria-hidden", "true");
    b.spoken = element("span", "spoken", "", root);
    b.spoken.setAttribute("role", "status");
    b.panel = element("div", "panel", "", root);
    b.panel.id = "panel";
    b.panel.setAttribute("part", "panel");
    b.panel.setAttribute("role", "dialog");
    b.panel.setAttribute("aria-labelledby", "title");
    b.panel.hidden = true;
    const head = element("header", "", "", b.panel);
    b.title = element("h2", "", "", head);
    b.title.id = "title";
    b.title.tabIndex = -1;
    b.readAll = element("button", "plain", "", head);
    b.readAll.type = "button";
    b.off = element("p", "note off", "", b.panel);
    b.off.setAttribute("role", "status");
    b.list = element("ul", "", "", b.panel);
    b.list.setAttribute("part", "list");
    b.foot = element("footer", "", "", b.panel);
    b.all = element("a", "", "", b.foot);
    b.button.addEventListener("click", () => { this.open = !this.open; });
    b.readAll.addEventListener("click", () => this.#items.length && this.#try(this.#client.markAllRead(this.#items[0].id)));
    root.addEventListener("keydown", (e) => this.#key(e));
    b.panel.addEventListener("focusout", (e) => e.relatedTarget && !root.contains(e.relatedTarget) && (this.open = false));
  }

  #try(promise) {
    promise.catch(() => { this.#built.spoken.textContent = this.#texts().failed; });
  }

  #elsewhere = (event) => { if (!event.composedPath().includes(this)) this.open = false; };

  /** Escape closes; the arrows, Home and End go through the list. */
  #key(event) {
    if (!this.open) return;
    if (event.key === "Escape") {
      this.open = false;
      this.#built.button.focus();
      event.stopPropagation();
      return;
    }
    const items = [...this.#built.list.querySelectorAll(".item, .more")];
    const at = items.indexOf(this.shadowRoot.activeElement), last = items.length - 1;
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    items[to].focus();
  }

  /** Everything but the list. */
  #say() {
    const t = this.#texts(), b = this.#built, n = this.#client?.unread ?? 0;
    b.badge.textContent = n > 99 ? "99+" : String(n);
    b.badge.hidden = n === 0;
    b.button.setAttribute("aria-label", n ? t.unread(n) : t.none);
    b.button.title = t.messages;
    b.title.textContent = t.messages;
    b.readAll.textContent = t.readAll;
    b.readAll.hidden = n === 0;
    b.off.textContent = t.offline;
    b.off.hidden = this.#client?.state !== "waiting";
    b.all.textContent = t.all;
    const href = this.hasAttribute("href") && webPage(this.getAttribute("href"));
    b.foot.hidden = !href;
    if (href) b.all.href = href;
    this.#list();
  }

  #list() {
    const t = this.#texts(), { list } = this.#built;
    const focused = this.shadowRoot.activeElement?.closest("li")?.dataset.id;
    list.replaceChildren(...this.#items.map((i) => this.#line(i, t)));
    if (this.#failed) {
      const again = element("button", "more", `${t.failed}. ${t.again}`, element("li", "", "", list));
      again.addEventListener("click", () => this.#load());
    } else if (this.#page?.page.has_more) {
      const more = element("button", "more", t.more, element("li", "", "", list));
      more.addEventListener("click", () => this.#load(true));
    } else if (this.#page && !this.#items.length) {
      element("p", "note", t.empty, element("li", "", "", list));
    }
    if (focused) [...list.children].find((li) => li.dataset.id === focused)?.firstChild.focus();
  }

  #line(message, t) {
    const unread = !message.read_at && !message.reason;
    const li = document.createElement("li");
    li.dataset.id = message.id;
    const address = message.url && webPage(message.url);
    const item = element(address ? "a" : "button", unread ? "item unread" : "item", "", li);
    item.setAttribute("part", unread ? "item unread" : "item");
    if (address) Object.assign(item, { href: address, target: "_blank", rel: "noopener noreferrer" });
    else item.type = "button";
    const title = element("span", "title", "", item);
    if (unread) {
      element("span", "dot", "", title);
      element("span", "spoken", t.isNew, title);
    }
    element("span", "", message.title || message.type, title);
    if (message.body) element("span", "body", message.body, item);
    if (message.at) {
      const time = element("time", "", new Intl.DateTimeFormat(t.locale, { dateStyle: "medium", timeStyle: "short" }).format(new Date(message.at)), item);
      time.dateTime = message.at;
    }
    item.addEventListener("click", (e) => {
      if (unread) this.#try(this.#client.markRead(message.id));
      // A page that shows messages itself prevents the default, which is to open the link.
      if (!this.dispatchEvent(new CustomEvent("choose", { detail: message, cancelable: true }))) e.preventDefault();
    });
    return li;
  }
}

globalThis.customElements?.get("tidings-bell") ?? globalThis.customElements?.define("tidings-bell", TidingsBell);

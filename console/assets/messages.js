// What the message centre and the demo share: how a message becomes a line of a list. What comes from outside is only ever
// set as text, and a link only when it leads to a web page.

export function element(tag, text, parent, className) {
  const e = document.createElement(tag);
  if (text) e.textContent = text;
  if (className) e.className = className;
  parent?.append(e);
  return e;
}

export function safeLink(url) {
  try { return ["http:", "https:"].includes(new URL(url, location.href).protocol) ? url : ""; } catch { return ""; }
}

/** Names the dimensions through which a message reached the user. */
export function through(via = [], texts) {
  return via.map((v) => v === "u" ? texts.you : `${v[0] === "m" ? texts.merchant : texts.store} ${v.slice(2)}`).join(", ");
}

/** Makes the line of a message. markRead is called when its button is pressed. */
export function line(message, { texts, clock, markRead }) {
  const li = document.createElement("li");
  li.dataset.id = message.id;
  li.classList.toggle("new", !message.read_at && !message.reason);
  li.classList.toggle("spared", !!message.reason); // in the history, and calling for nobody's eyes
  const title = element("h3", "", li);
  const link = message.url && safeLink(message.url);
  const name = element(link ? "a" : "span", message.title || message.type, title);
  if (link) {
    name.href = link;
    name.target = "_blank";
    name.rel = "noopener noreferrer";
  }
  element("p", message.body, li);
  const facts = element("div", "", li, "facts");
  element("time", clock.format(new Date(message.at)), facts).dateTime = message.at;
  element("span", through(message.via, texts), facts);
  if (message.number) element("span", "#" + message.number, facts);
  if (message.reason) element("span", texts.spared?.(message.reason) ?? message.reason, facts);
  else if (message.read_at) element("span", texts.wasRead, facts);
  else {
    const button = element("button", texts.read, facts);
    button.type = "button";
    button.setAttribute("aria-label", `${texts.read}: ${message.title || message.type}`);
    button.addEventListener("click", () => markRead(message.id));
  }
  return li;
}

/** Reads an answer of the API; what went wrong is an Error with the answer's status. */
export async function answered(response) {
  const body = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail || body.title || response.statusText), { status: response.status });
  return body;
}

// A page in TypeScript that uses all that the package has. Run by TestATypeScriptProgramUsesThePackage.
import { Tidings, defaults, Lines, type Message, type Options, type Events, type InboxPage, type Frame } from "tidings-comet";
import { TidingsBell } from "tidings-comet/bell";

const options: Options = { url: "https://push.example.com", api: "https://api.example.com", token: () => fetch("/my/token").then((r) => r.text()),
  transports: ["ws", "poll"], share: true, storage: localStorage, locks: navigator.locks, EventSource, WebSocket, BroadcastChannel, unread: async () => 3 };
const tidings = new Tidings(options);
const end: () => void = tidings.subscribe({ message: (m) => m.title?.trim(), unread: (n) => n.toFixed(), reset: ({ cursor }) => cursor.length,
  gone: (g) => g.number, read: (r) => r.ids?.length, state: (s) => s === "connected", close: (c) => c.retry_ms, error: (e) => e.message });
const off: () => void = tidings.on("message", (m: Message) => m.number);
tidings.subscribe((m) => m.id);
end(); off();
async function all() {
  for await (const m of tidings) console.log(m.number, m.title);
  const page: InboxPage = await tidings.inbox({ limit: "20" });
  await tidings.markRead(page.data[0]!.id, "x");
  await tidings.markAllRead("x");
  await tidings.archive("x", "y");
}
void all();
const frame: Frame = { cursor: "a.1", messages: [{ number: 1, id: "x" }, { number: 2, gone: true }] };
tidings.receive(frame);
new Lines((line: string) => line.length).push(new Uint8Array(1));
const wait: number = defaults.ackDelay;
const bell: TidingsBell = document.createElement("tidings-bell");
bell.client = tidings; bell.open = true; void wait;
bell.addEventListener("message", (e) => e.detail.number);
bell.addEventListener("choose", (e) => { e.preventDefault(); e.detail.read_at; });
document.querySelector("tidings-bell")?.addEventListener("open", () => {});
bell.addEventListener("click", (e) => e.clientX);
// @ts-expect-error there is no such event
tidings.on("massage", () => {});
// @ts-expect-error a token is needed
new Tidings({});
// @ts-expect-error it is told, not set
tidings.cursor = "x";
// @ts-expect-error there is no such transport
new Tidings({ token: () => "", transports: ["carrier pigeon"] });
const events: (keyof Events)[] = ["message", "gone", "reset", "read", "state", "unread", "close", "error"]; void events;

package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tidings/internal/chromiumtest"
)

const inBell = `document.getElementById("bell").shadowRoot`

func TestTheBellCountsListsAndMarksByMouseAndByKeyboard(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	items := inBell + `.querySelectorAll("li .item")`
	focused := inBell + `.activeElement`
	send := func(example string) chromiumtest.Step { return click(`button[data-example="` + example + `"]`) }
	press := func(key string) chromiumtest.Step { return chromedp.KeyEvent(key) }
	w.Do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(u.url+"/demo?lang=en"),
		until(`document.getElementById("state").dataset.state === "open"`),
		until(inBell+`.querySelector("button").getAttribute("aria-label") === "Messages, none unread" && `+inBell+`.querySelector(".badge").hidden`),
		send("refund"), until(inBell+`.querySelector(".badge").textContent === "1"`),
		until(inBell+`.querySelector("[role=status]").textContent.startsWith("New message: ")`),
		send("notice"), until(inBell+`.querySelector("button").getAttribute("aria-label") === "Messages, 2 unread"`))

	// By keyboard.
	w.Do(until(`(`+inBell+`.querySelector("button").focus(), true)`), press(kb.Enter),
		until(inBell+`.querySelector("button").getAttribute("aria-expanded") === "true"`),
		until(items+`.length === 2 && `+inBell+`.querySelectorAll(".unread").length === 2`),
		until(focused+`?.id === "title"`))
	w.Picture("bell-wide")
	w.Do(press(kb.ArrowDown), until(focused+` === `+items+`[0]`), press(kb.End), until(focused+` === `+items+`[1]`),
		press(kb.Escape), until(inBell+`.querySelector(".panel").hidden && `+focused+` === `+inBell+`.querySelector("button")`))

	// By mouse: one is read, and the page beneath shows it too. A click elsewhere closes.
	w.Do(until(`(`+inBell+`.querySelector("button").click(), true)`),
		until(`(document.getElementById("bell").addEventListener("choose", (e) => e.preventDefault()), `+items+`[1].click(), true)`), // the link would open a tab
		until(inBell+`.querySelector(".badge").textContent === "1" && `+inBell+`.querySelectorAll(".unread").length === 1`),
		until(`document.querySelectorAll("#live li.new").length === 1`),
		send("refund"), until(inBell+`.querySelector(".panel").hidden && `+inBell+`.querySelector(".badge").textContent === "2"`),
		until(`(`+inBell+`.querySelector("button").click(), true)`), until(items+`.length === 3`),
		until(`(`+inBell+`.querySelector("header button").click(), true)`),
		until(inBell+`.querySelector(".badge").hidden && `+inBell+`.querySelectorAll(".unread").length === 0`),
		until(`document.querySelectorAll("#live li.new").length === 0`))

	// In Chinese, on a phone, in the dark.
	w.Do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), dark(), chromedp.Navigate(u.url+"/demo?lang=zh"),
		until(`document.getElementById("state").dataset.state === "open"`), send("refund"),
		until(inBell+`.querySelector("button").getAttribute("aria-label") === "消息，1 条未读"`),
		until(`(document.getElementById("bell").open = true) && `+items+`.length === 4`),
		until(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`),
		until(inBell+`.querySelector(".panel").getBoundingClientRect().right <= innerWidth`))
	w.Picture("bell-phone")
}

func TestWhatAMessageSaysIsTextInTheBell(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	evil := `{"order":"<img src=x onerror=alert(1)>","amount":"<script>alert(2)</script>"}`
	w.Do(chromedp.Navigate(u.url+"/demo?lang=en"), until(`document.getElementById("state").dataset.state === "open"`))
	if _, errout, err := tidingsCommand(t, u.env, "send", "order.refund_requested", "--user", "lin", "--channel", "web", "--data", evil); err != nil {
		t.Fatal(err, errout)
	}
	w.Do(until(`(document.getElementById("bell").open = true) && `+inBell+`.querySelector("li .item")?.textContent.includes("<img src=x onerror=alert(1)>")`),
		until(inBell+`.querySelectorAll("img, script").length === 0`))

	// A client of the page's own, with messages that no server of ours would let through.
	fake := `(() => {
  const bell = document.createElement("tidings-bell");
  const urls = ["javascript:alert(1)", "data:text/html,x", " jAvascript:alert(1)", "https://shop.example/orders/1", "/orders/2"];
  bell.client = {
    unread: 100, state: "connected", on: () => () => {},
    inbox: async () => ({ data: urls.map((url, i) => ({ id: String(i), title: "t" + i, url })), page: { has_more: false } }),
  };
  document.body.append(bell);
  bell.id = "other";
  bell.open = true;
  return true;
})()`
	w.Do(until(fake), until(`document.getElementById("other").shadowRoot.querySelectorAll(".item").length === 5`))
	links := chromiumtest.Ask[[]string](w, `[...document.getElementById("other").shadowRoot.querySelectorAll("a.item")].map((a) => a.href)`)
	if got := strings.Join(links, " "); got != "https://shop.example/orders/1 "+u.url+"/orders/2" {
		t.Errorf("links: %s", got)
	}
	w.Do(until(`document.getElementById("other").shadowRoot.querySelector(".badge").textContent === "99+"`))
}

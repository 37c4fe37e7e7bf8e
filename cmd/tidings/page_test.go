package main

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"tidings/internal/chromiumtest"
)

var until, click = chromiumtest.Until, chromiumtest.Click

// browser is a headless Chromium of a test's own. Two complaints are no fault: of fonts from a third party that our policy keeps out, and of the
// login's 401.
func browser(t *testing.T) chromiumtest.Window {
	t.Helper()
	return chromiumtest.Open(t, func(complaint string) bool {
		return strings.Contains(complaint, "fonts.googleapis.com") || strings.Contains(complaint, "401")
	})
}

func dark() chromiumtest.Step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		return err
	})
}

func TestAPersonWatchesMessagesArriveOverEachTransport(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	w.Do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(u.url+"/demo?lang=en"))
	for i, transport := range []string{"events", "ws", "stream", "poll"} {
		w.Do(click(`input[value="`+transport+`"]`),
			until(`document.getElementById("state").dataset.state === "open" && document.getElementById("state").dataset.transport === "`+transport+`"`),
			click(`button[data-example="refund"]`),
			until(`document.querySelectorAll("#live li").length === `+strconv.Itoa(i+1)),
			until(`document.getElementById("unread").textContent === "`+strconv.Itoa(i+1)+` unread"`))
	}
	w.Picture("demo-wide")
	w.Do(click(`#live li:first-child button`), until(`document.querySelectorAll("#live li.new").length === 3`),
		until(`document.getElementById("unread").textContent === "3 unread"`),
		click("#read-all"), until(`document.querySelectorAll("li.new").length === 0 && document.getElementById("unread").hidden`))

	// Another user, in Chinese, on a phone.
	w.Do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Navigate(u.url+"/demo?lang=zh&user=chen"),
		until(`document.getElementById("state").dataset.state === "open"`),
		click(`button[data-example="notice"]`), until(`document.querySelectorAll("#live li").length === 1`),
		until(`document.querySelector("#live h3").textContent === "系统维护通知"`),
		until(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`))
	w.Picture("demo-phone")
	w.Do(dark(),
		chromedp.EmulateViewport(1280, 900), chromedp.Reload(), until(`document.querySelectorAll("#past-list li").length === 1`))
	w.Picture("demo-dark")
}

func TestWhatAMessageSaysIsTextOnThePage(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	evil := `{"order":"<img src=x onerror=alert(1)>","amount":"<script>alert(2)</script>"}`
	w.Do(chromedp.Navigate(u.url+"/demo?lang=en"), until(`document.getElementById("state").dataset.state === "open"`))
	if _, errout, err := tidingsCommand(t, u.env, "send", "order.refund_requested", "--user", "lin", "--channel", "web", "--data", evil); err != nil {
		t.Fatal(err, errout)
	}
	w.Do(until(`document.querySelector("#live h3")?.textContent.includes("<img src=x onerror=alert(1)>")`),
		until(`document.querySelectorAll("#live img, #live script").length === 0`))
}

func TestTheDashboardShowsOurQueuesToAnAdminAlone(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	w.Do(chromedp.EmulateViewport(1280, 1000), chromedp.Navigate(u.url+"/queues"), chromedp.WaitVisible(chromedp.CSS("#password")))
	w.Picture("login")
	w.Do(chromedp.SendKeys(chromedp.CSS("#password"), "a wrong token\n"), chromedp.WaitVisible(chromedp.CSS("#wrong")),
		chromedp.SendKeys(chromedp.CSS("#password"), u.env["TIDINGS_ADMIN_TOKEN"]+"\n"),
		chromedp.WaitVisible(chromedp.CSS("#root table")), until(`document.body.innerText.includes("normal-deliver-web")`))
	w.Picture("queues")
}

func TestAUserChoosesWhatHeGetsOnHisPage(t *testing.T) {
	u := startDemoUp(t, nil)
	run := func(args ...string) string {
		t.Helper()
		out, errout, err := tidingsCommand(t, u.env, args...)
		if err != nil {
			t.Fatalf("%v: %v %s", args, err, errout)
		}
		return out
	}
	run("send", "order.refund_requested", "--user", "lin", "--data", `{"order":"A-1","amount":"1"}`, "--wait")
	w := browser(t)
	tick := `[...document.querySelectorAll("#types input")]`
	w.Do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Navigate(u.url+"/inbox/preferences?lang=zh#token="+u.env["TIDINGS_TOKEN"]),
		until(tick+`.length >= 2 && `+tick+`.every(i => i.checked) && !location.hash`))
	w.Picture("preferences-phone")
	w.Do(click("#types fieldset label:last-child input"), until(`(document.getElementById("from").value = "22:00", document.getElementById("to").value = "07:30", true)`),
		click("#form button"), until(`document.getElementById("note").textContent === "已保存。"`),
		chromedp.EmulateViewport(1280, 900), chromedp.Navigate(u.url+"/inbox/preferences?lang=en"), // the token is kept in the tab
		until(tick+`.filter(i => !i.checked).length === 1 && document.getElementById("to").value === "07:30"`))
	w.Picture("preferences-wide")
	if said := run("preferences", "ls"); !strings.Contains(said, "muted") || !strings.Contains(said, "22:00") {
		t.Error(said)
	}
	run("preferences", "unmute", "--app", "demo", "--type", "order.refund_requested", "--channel", "sms")
	run("preferences", "mute", "--channel", "web")
	run("preferences", "quiet", "off")
	if said := run("preferences", "ls"); strings.Contains(said, "22:00") || !strings.Contains(said, "all applications all types on web: muted") {
		t.Error(said)
	}
	run("send", "order.refund_requested", "--user", "lin", "--channel", "web", "--data", `{"order":"A-2","amount":"1"}`, "--wait")
	w.Do(chromedp.Navigate(u.url+"/inbox?lang=en"), until(`document.querySelectorAll("#list li").length === 2`),
		until(`document.querySelector("#list li.spared").innerText.includes("you muted these") && !document.querySelector("#list li.spared button")`))
	w.Picture("inbox-spared")
}

package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

func TestTheMessageCentreShowsWhatArrivesAndRemembersWhatIsRead(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	send := func(order string) {
		t.Helper()
		if _, errout, err := tidingsCommand(t, u.env, "send", "order.refund_requested", "--user", u.env["TIDINGS_USER"], "--channel", "web",
			"--data", `{"order":"`+order+`","amount":"<b>1</b>"}`); err != nil {
			t.Fatal(err, errout)
		}
	}
	w.Do(chromedp.EmulateViewport(375, 800, chromedp.EmulateMobile), chromedp.Navigate(u.url+"/inbox?lang=en#token="+u.env["TIDINGS_TOKEN"]),
		until(`document.getElementById("state").dataset.state === "open"`), until(`location.hash === ""`),
		until(`!document.getElementById("empty").hidden`)) // its list was answered
	send("A-1")
	w.Do(until(`document.querySelectorAll("#list li.fresh.new").length === 1`), until(`document.getElementById("unread").textContent === "1"`),
		until(`document.querySelectorAll("#list b").length === 0`))
	send("A-2")
	w.Do(until(`document.querySelectorAll("#list li.new").length === 2`), click("#list li:first-child button"),
		until(`document.querySelectorAll("#list li.new").length === 1 && document.getElementById("unread").textContent === "1"`),
		until(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`))
	w.Picture("inbox-phone")
	w.Do(chromedp.Reload(), until(`document.querySelectorAll("#list li").length === 2 && document.querySelectorAll("#list li.new").length === 1`),
		click("#read-all"), until(`document.querySelectorAll("#list li.new").length === 0 && document.getElementById("unread").hidden`))
}

func TestTheEditorShowsATemplateAsItIsTyped(t *testing.T) {
	u := startDemoUp(t, nil)
	w := browser(t)
	w.Do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(u.url+"/console/applications/demo/types/order.refund_requested/templates/edit?lang=en&channel=sms&locale=zh-CN"),
		chromedp.WaitVisible(chromedp.CSS("#password")), chromedp.SendKeys(chromedp.CSS("#password"), u.env["TIDINGS_ADMIN_TOKEN"]+"\n"),
		chromedp.WaitVisible(chromedp.CSS("#preview .as-sms")), until(`document.querySelector("#preview .as-sms")?.textContent.includes("A-1001")`),
		until(`document.readyState === "complete"`), // only then is it listened to
		chromedp.SendKeys(chromedp.CSS("#body"), "<i>typed</i>"), until(`document.querySelector("#preview .as-sms").textContent.includes("<i>typed</i>")`),
		until(`document.querySelectorAll("#preview i").length === 0`), until(`document.getElementById("preview").textContent.includes("SMS parts charged")`),
		chromedp.SendKeys(chromedp.CSS("#body"), "{{ "), until(`document.querySelector("#preview .problem") !== null`))
	w.Picture("editor")
}

package walk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tidings"
	"tidings/internal/chromiumtest"
)

var sees, click = chromiumtest.Until, chromiumtest.Click

// window is a headless Chromium of one person.
type window struct{ chromiumtest.Window }

// open starts a browser. No fault are the 401 of a page that asks to sign in first, the 404 of one that is not there, and what holds one of the
// words of expected.
func open(t *testing.T, expected ...string) window {
	t.Helper()
	expected = append(expected, "401", up.URL+"/console/none")
	w := window{chromiumtest.Open(t, func(complaint string) bool {
		return slices.ContainsFunc(expected, func(word string) bool { return strings.Contains(complaint, word) })
	})}
	w.Do(chromedp.EmulateViewport(1280, 900))
	return w
}

func reads(text string) chromiumtest.Step {
	return sees(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// fill writes into a field as a person would, as far as scripts can tell.
func fill(selector, text string) chromiumtest.Step {
	return sees(fmt.Sprintf(`(() => { const e = document.querySelector(%q); if (!e) return false; e.value = %q; e.dispatchEvent(new Event("input", {bubbles: true})); return true })()`, selector, text))
}

// agree answers every question of the page with yes.
func agree() chromiumtest.Step { return sees(`(window.confirm = () => true, true)`) }

func visit(path string) chromiumtest.Step { return chromedp.Navigate(up.URL + path) }

// signIn opens the console as an account.
func (w window) signIn(account, secret string) {
	w.Do(visit("/console"), chromedp.WaitVisible(chromedp.CSS("#password")))
	w.Picture("sign-in-" + account)
	w.Do(fill("#account", account), fill("#password", secret), click(`form[action="/console/sign-in"] button.first`), chromedp.WaitVisible(chromedp.CSS("nav")))
}

func TestTheWalkInABrowser(t *testing.T) {
	directory(t, "web", "web-lin")
	for id, of := range map[string][2]string{"web-dev": {"developer", "zh"}, "web-boss": {"approver", "en"}, "web-admin": {"admin", "en"}} {
		root(t).must(201, "POST", "/v1/accounts", object{"id": id, "name": id, "role": of[0], "locale": of[1], "password": password})
	}
	dev, boss := open(t), open(t)
	dev.signIn("web-dev", password)
	dev.Do(reads("申请"))
	const app = "/console/applications/web"

	// Apply, and be let in by another.
	dev.Do(visit("/console/apply"), fill("#name", "网站"), fill("#id", "web"), fill("#owner", "web@example.com"), fill("#purpose", "订单消息，发给门店"),
		click(`input[name="channels"][value="web"]`), click(`input[name="channels"][value="sms"]`), fill("#volume", "1000"))
	dev.Picture("walk-apply")
	dev.Do(click(`form[action="/console/apply"] button.first`), sees(`location.pathname !== "/console/apply"`))
	boss.signIn("web-boss", password)
	boss.Do(visit("/console/review"), reads("网站"))
	boss.Picture("walk-review")
	boss.Do(visit(app), fill("#comment", "welcome"), click(`form[action$="/approve"] button.first`), sees(`!document.querySelector('form[action$="/approve"]')`))

	// A key, a type, a template with its preview.
	dev.Do(visit(app), click("#keys summary"), fill("#key-name", "first"), sees(`(document.querySelectorAll('input[name="scopes"]').forEach((e) => e.checked = e.value.startsWith("messages:")), true)`),
		click(`form[action$="/keys"] button.first`), reads("tdk_"))
	dev.Picture("walk-key")
	dev.Do(visit(app+"/type"), fill("#name", "order.paid"), sees(`(document.querySelectorAll('input[name="channels"]').forEach((e) => e.checked = ["web", "sms"].includes(e.value)), true)`),
		fill(`input[name="variable.name"]`, "order"), fill(`input[name="variable.example"]`, "A-1"), click(`input[name="variable.required"]`))
	dev.Picture("walk-type")
	dev.Do(click(`form[action$="/type"] button.first`), sees(`location.pathname.includes("/types/order.paid")`))
	dev.Do(visit(app+"/types/order.paid/templates/edit?channel=web"), fill("#title", "订单已付款"), fill("#body", "订单 {{ order }} 已付款"),
		sees(`document.getElementById("preview").innerText.includes("订单 A-1 已付款")`))
	dev.Picture("walk-editor")
	const version = app + "/types/order.paid/templates/web/zh-CN/1"
	dev.Do(click(`form[action$="/edit"] button.first`), sees(`location.pathname === "`+version+`"`),
		click(`form[action$="/submit"] button.first`), sees(`!document.querySelector('form[action$="/submit"]')`))
	dev.Picture("walk-report")

	// The reviewer, and not the author.
	dev.Do(sees(`!document.querySelector('form[action$="/approve"]')`))
	boss.Do(visit(version), reads("订单 A-1 已付款"))
	boss.Picture("walk-judge")
	boss.Do(fill("#comment", "good"), click(`form[action$="/approve"] button.first`), sees(`!document.querySelector('form[action$="/approve"]')`))
	dev.Do(visit(version), click(`form[action$="/publish"] button.first`), sees(`!document.querySelector('form[action$="/publish"]')`))

	// The merchant's user looks at his page while the test message comes.
	token := read[struct{ Token string }](t, root(t).must(201, "POST", "/v1/tokens?application=web", object{"user": "web-lin"})).Token
	lin := open(t)
	lin.Do(visit("/inbox?lang=zh#token="+token), sees(`document.getElementById("state").dataset.state === "open"`), sees(`!location.hash`))
	dev.Do(visit("/console/send"), fill("#stores", "web-1"), fill("#data", `{"order":"B-79"}`), click(`button[value="preview"]`), reads("订单 B-79 已付款"), reads("web-lin"))
	dev.Picture("walk-preview")
	dev.Do(agree(), click(`button[value="send"]`), sees(`location.pathname.startsWith("/console/messages/")`))
	lin.Do(sees(`document.querySelectorAll("#list li").length === 1`), reads("订单 B-79 已付款"), sees(`document.getElementById("unread").textContent === "1"`))
	lin.Picture("walk-inbox")
	lin.Do(click("#list li button"), sees(`document.getElementById("unread").hidden`), visit("/inbox?lang=en"), reads("订单 B-79 已付款"),
		sees(`[...document.getElementById("dimension").options].some((o) => o.value === "s:web-1")`), sees(`document.getElementById("unread").hidden`))
	lin.Do(chromedp.EmulateViewport(375, 812, chromedp.EmulateMobile), sees(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`))
	lin.Picture("walk-inbox-phone")

	dev.Do(chromedp.Reload(), reads("web-lin"))
	dev.Picture("walk-message")
	boss.Do(visit("/console/audit?actor=web-dev"), reads("template.submit"))
	castByConsole(t, dev, token)
	auditSays(t, "web-boss", "application.approve", "template.approve")
	everyPage(t)
}

// withLanguage asks for a page in a language.
func withLanguage(path, lang string) string {
	if strings.Contains(path, "?") {
		return path + "&lang=" + lang
	}
	return path + "?lang=" + lang
}

// everyPage opens each page in both languages, wide and on a phone: it must fit.
func everyPage(t *testing.T) {
	t.Helper()
	admin := open(t)
	admin.signIn("web-admin", password)
	putGate(root(t))
	sent := get[list[tidings.MessageStatus]](root(t), "/v1/messages?application=web").Data
	casts := get[list[tidings.Broadcast]](root(t), "/v1/broadcasts?application=web").Data
	replay := read[tidings.Replay](t, root(t).must(202, "POST", "/v1/replays?application=web", object{"filter": object{"states": []string{"failed"}}, "dry_run": false})).ID
	at := strings.NewReplacer("replays/{id}", "replays/"+replay.String(), "broadcasts/{id}", "broadcasts/"+casts[0].ID.String(), "{app}", "web", "{type}", "order.paid", "{channel}", "web", "{locale}", "zh-CN", "{version}", "1", "merchants/{id}", "merchants/web",
		"stores/{id}", "stores/web-1", "users/{id}", "users/web-lin", "accounts/{id}", "accounts/web-dev", "messages/{id}", "messages/"+sent[0].ID.String(), "integrations/{id}", "integrations/gate", "integrations/new", "integrations/new?provider=kannel")
	for _, lang := range []string{"zh", "en"} {
		for _, p := range append(consolePages(), "GET /console/none", "GET /console/sign-in", "GET /inbox", "GET /inbox/preferences") {
			path, get := strings.CutPrefix(p, "GET ")
			if !get || strings.HasSuffix(path, "/proof") { // a file to keep, and no page
				continue
			}
			want := map[string]string{"zh": "zh-CN", "en": "en"}[lang]
			admin.Do(visit(withLanguage(at.Replace(path), lang)), sees(fmt.Sprintf("document.readyState === 'complete' && document.documentElement.lang === %q", want)))
			for _, width := range []int64{1280, 375} {
				admin.Do(chromedp.EmulateViewport(width, 812))
				wide := chromiumtest.Ask[int](admin.Window, `document.documentElement.scrollWidth - document.documentElement.clientWidth`)
				if wide > 0 {
					t.Errorf("%s in %s at %d px is %d px too wide", path, lang, width, wide)
				}
				name := strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path), "-")
				admin.Picture(fmt.Sprintf("page-%s-%s-%d", name, lang, width))
			}
		}
	}
}

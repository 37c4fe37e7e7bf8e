package walk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidings"
)

// step is one thing that a person does or sees.
type step = chromedp.Action[chromedp.Void]

// window is a headless Chromium of one person.
type window struct {
	t   *testing.T
	ctx context.Context
}

// open starts a browser. What pages complain about (exceptions, refused scripts) fails the test; the 401 of a page
// that asks to sign in first is no fault, nor is the 404 of one that is not there, nor what holds one of the words of expected.
func open(t *testing.T, expected ...string) window {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	said, listened := chromedp.Console(ctx), make(chan struct{})
	go func() {
		defer close(listened)
		for m, err := range said {
			if err == nil && (m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleError) && !strings.Contains(m.Text, "401") && !strings.HasPrefix(m.URL, up.URL+"/console/none") &&
				!slices.ContainsFunc(expected, func(word string) bool { return strings.Contains(m.Text, word) }) {
				t.Errorf("the browser says: %s %s", m.Text, m.URL)
			}
		}
	}()
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); <-listened })
	w := window{t, ctx}
	w.do(chromedp.EmulateViewport(1280, 900))
	return w
}

func (w window) do(steps ...step) {
	w.t.Helper()
	bounded, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(bounded, steps...); err != nil {
		w.picture("failed")
		w.t.Fatal(err)
	}
}

// picture keeps a screenshot for a person to look at, where TIDINGS_PICTURES says.
func (w window) picture(name string) {
	w.t.Helper()
	dir := os.Getenv("TIDINGS_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		w.t.Error(err)
	}
}

// again runs a step again when the page went away under it, before anything was done.
func again(s step) step {
	return func(ctx context.Context, target *chromedp.Target) (v chromedp.Void, err error) {
		for range 20 {
			if v, err = s(ctx, target); err == nil || !strings.Contains(err.Error(), "-32000") {
				break
			}
		}
		return v, err
	}
}

// sees waits until an expression holds in the page, or in the one that comes after it.
func sees(expression string) step {
	seen := again(chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(15*time.Second)))
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		v, err := seen(ctx, target)
		if err != nil {
			err = fmt.Errorf("until %s: %w", expression, err)
		}
		return v, err
	}
}

func reads(text string) step { return sees(fmt.Sprintf("document.body.innerText.includes(%q)", text)) }

// fill writes into a field as a person would, as far as scripts can tell.
func fill(selector, text string) step {
	return sees(fmt.Sprintf(`(() => { const e = document.querySelector(%q); if (!e) return false; e.value = %q; e.dispatchEvent(new Event("input", {bubbles: true})); return true })()`, selector, text))
}

// click clicks on what is visible; between finding it and pointing at it the page may be renewed.
func click(selector string) step { return again(chromedp.Click(chromedp.CSS(selector))) }

// agree answers every question of the page with yes.
func agree() step { return sees(`(window.confirm = () => true, true)`) }

func visit(path string) step { return chromedp.Navigate(up.URL + path) }

// signIn opens the console as an account.
func (w window) signIn(account, secret string) {
	w.t.Helper()
	w.do(visit("/console"), chromedp.WaitVisible(chromedp.CSS("#password")))
	w.picture("sign-in-" + account)
	w.do(fill("#account", account), fill("#password", secret), click(`form[action="/console/sign-in"] button.first`), chromedp.WaitVisible(chromedp.CSS("nav")))
}

func TestTheWalkInABrowser(t *testing.T) {
	directory(t, "web", "web-lin")
	for id, of := range map[string][2]string{"web-dev": {"developer", "zh"}, "web-boss": {"approver", "en"}, "web-admin": {"admin", "en"}} {
		root(t).must(201, "POST", "/v1/accounts", object{"id": id, "name": id, "role": of[0], "locale": of[1], "password": password})
	}
	dev, boss := open(t), open(t)
	dev.signIn("web-dev", password)
	dev.do(reads("申请"))
	const app = "/console/applications/web"

	// Apply, and be let in by another.
	dev.do(visit("/console/apply"), fill("#name", "网站"), fill("#id", "web"), fill("#owner", "web@example.com"), fill("#purpose", "订单消息，发给门店"),
		click(`input[name="channels"][value="web"]`), click(`input[name="channels"][value="sms"]`), fill("#volume", "1000"))
	dev.picture("walk-apply")
	dev.do(click(`form[action="/console/apply"] button.first`), sees(`location.pathname !== "/console/apply"`))
	boss.signIn("web-boss", password)
	boss.do(visit("/console/review"), reads("网站"))
	boss.picture("walk-review")
	boss.do(visit(app), fill("#comment", "welcome"), click(`form[action$="/approve"] button.first`), sees(`!document.querySelector('form[action$="/approve"]')`))

	// A key, a type, a template with its preview.
	dev.do(visit(app), click("#keys summary"), fill("#key-name", "first"), sees(`(document.querySelectorAll('input[name="scopes"]').forEach((e) => e.checked = e.value.startsWith("messages:")), true)`),
		click(`form[action$="/keys"] button.first`), reads("tdk_"))
	dev.picture("walk-key")
	dev.do(visit(app+"/type"), fill("#name", "order.paid"), sees(`(document.querySelectorAll('input[name="channels"]').forEach((e) => e.checked = ["web", "sms"].includes(e.value)), true)`),
		fill(`input[name="variable.name"]`, "order"), fill(`input[name="variable.example"]`, "A-1"), click(`input[name="variable.required"]`))
	dev.picture("walk-type")
	dev.do(click(`form[action$="/type"] button.first`), sees(`location.pathname.includes("/types/order.paid")`))
	dev.do(visit(app+"/types/order.paid/templates/edit?channel=web"), fill("#title", "订单已付款"), fill("#body", "订单 {{ order }} 已付款"),
		sees(`document.getElementById("preview").innerText.includes("订单 A-1 已付款")`))
	dev.picture("walk-editor")
	const version = app + "/types/order.paid/templates/web/zh-CN/1"
	dev.do(click(`form[action$="/edit"] button.first`), sees(`location.pathname === "`+version+`"`),
		click(`form[action$="/submit"] button.first`), sees(`!document.querySelector('form[action$="/submit"]')`))
	dev.picture("walk-report")

	// The reviewer, and not the author.
	dev.do(sees(`!document.querySelector('form[action$="/approve"]')`))
	boss.do(visit(version), reads("订单 A-1 已付款"))
	boss.picture("walk-judge")
	boss.do(fill("#comment", "good"), click(`form[action$="/approve"] button.first`), sees(`!document.querySelector('form[action$="/approve"]')`))
	dev.do(visit(version), click(`form[action$="/publish"] button.first`), sees(`!document.querySelector('form[action$="/publish"]')`))

	// The merchant's user looks at his page while the test message comes.
	token := read[struct{ Token string }](t, root(t).must(201, "POST", "/v1/tokens?application=web", object{"user": "web-lin"})).Token
	lin := open(t)
	lin.do(visit("/inbox?lang=zh#token="+token), sees(`document.getElementById("state").dataset.state === "open"`), sees(`!location.hash`))
	dev.do(visit("/console/send"), fill("#stores", "web-1"), fill("#data", `{"order":"B-79"}`), click(`button[value="preview"]`), reads("订单 B-79 已付款"), reads("web-lin"))
	dev.picture("walk-preview")
	dev.do(agree(), click(`button[value="send"]`), sees(`location.pathname.startsWith("/console/messages/")`))
	lin.do(sees(`document.querySelectorAll("#list li").length === 1`), reads("订单 B-79 已付款"), sees(`document.getElementById("unread").textContent === "1"`))
	lin.picture("walk-inbox")
	lin.do(click("#list li button"), sees(`document.getElementById("unread").hidden`), visit("/inbox?lang=en"), reads("订单 B-79 已付款"),
		sees(`[...document.getElementById("dimension").options].some((o) => o.value === "s:web-1")`), sees(`document.getElementById("unread").hidden`))
	lin.do(chromedp.EmulateViewport(375, 812, chromedp.EmulateMobile), sees(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`))
	lin.picture("walk-inbox-phone")

	dev.do(chromedp.Reload(), reads("web-lin"))
	dev.picture("walk-message")
	boss.do(visit("/console/audit?actor=web-dev"), reads("template.submit"))
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
			admin.do(visit(withLanguage(at.Replace(path), lang)), sees(fmt.Sprintf("document.readyState === 'complete' && document.documentElement.lang === %q", want)))
			for _, width := range []int64{1280, 375} {
				admin.do(chromedp.EmulateViewport(width, 812))
				var wide int
				if over, err := chromedp.Run(admin.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`)); err == nil {
					wide = over
				}
				if wide > 0 {
					t.Errorf("%s in %s at %d px is %d px too wide", path, lang, width, wide)
				}
				name := strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path), "-")
				admin.picture(fmt.Sprintf("page-%s-%s-%d", name, lang, width))
			}
		}
	}
}

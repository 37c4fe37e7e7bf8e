package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// step is one thing that a person does or sees.
type step = chromedp.Action[chromedp.Void]

// browser is a headless Chromium of a test's own. What pages complain about (exceptions, refused scripts) fails the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the first run starts the browser, which lives as long as its context
		t.Fatal(err)
	}
	said, listened := chromedp.Console(ctx), make(chan struct{})
	go func() {
		defer close(listened)
		for m, err := range said {
			if err == nil && (m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleError) && !expected(m) {
				t.Errorf("the browser says: %s %s", m.Text, m.URL)
			}
		}
	}()
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); <-listened })
	return ctx
}

// expected are the complaints that are no fault: fonts from a third party that our policy keeps out, and the login's 401.
func expected(m chromedp.ConsoleMessage) bool {
	return strings.Contains(m.Text+m.URL, "fonts.googleapis.com") || strings.Contains(m.Text, "401")
}

// do runs steps, all of them within a minute.
func do(t *testing.T, ctx context.Context, steps ...step) {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(bounded, steps...); err != nil {
		picture(t, ctx, strings.ReplaceAll(t.Name(), "/", "-"))
		t.Fatal(err)
	}
}

// picture keeps a screenshot for a person to look at, where TIDINGS_PICTURES says.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("TIDINGS_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Log(err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		t.Error(err)
	}
}

func until(expression string) step {
	seen := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(20*time.Second))
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		v, err := seen(ctx, target)
		if err != nil {
			err = fmt.Errorf("until %s: %w", expression, err)
		}
		return v, err
	}
}

// click clicks on what is visible, and again when the page was renewed between finding it and pointing at it (-32000 of the DevTools protocol).
func click(selector string) step {
	clicked := chromedp.Click(chromedp.CSS(selector))
	return func(ctx context.Context, target *chromedp.Target) (v chromedp.Void, err error) {
		for range 20 {
			if v, err = clicked(ctx, target); err == nil || !strings.Contains(err.Error(), "-32000") {
				break
			}
		}
		return v, err
	}
}

func dark() step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		return err
	})
}

func TestAPersonWatchesMessagesArriveOverEachTransport(t *testing.T) {
	u := startDemoUp(t, nil)
	ctx := browser(t)
	do(t, ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(u.url+"/demo?lang=en"))
	for i, transport := range []string{"events", "ws", "stream", "poll"} {
		do(t, ctx, click(`input[value="`+transport+`"]`),
			until(`document.getElementById("state").dataset.state === "open" && document.getElementById("state").dataset.transport === "`+transport+`"`),
			click(`button[data-example="refund"]`),
			until(`document.querySelectorAll("#live li").length === `+strconv.Itoa(i+1)),
			until(`document.getElementById("unread").textContent === "`+strconv.Itoa(i+1)+` unread"`))
	}
	picture(t, ctx, "demo-wide")
	do(t, ctx, click(`#live li:first-child button`), until(`document.querySelectorAll("#live li.new").length === 3`),
		until(`document.getElementById("unread").textContent === "3 unread"`),
		click("#read-all"), until(`document.querySelectorAll("li.new").length === 0 && document.getElementById("unread").hidden`))

	// Another user, in Chinese, on a phone.
	do(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Navigate(u.url+"/demo?lang=zh&user=chen"),
		until(`document.getElementById("state").dataset.state === "open"`),
		click(`button[data-example="notice"]`), until(`document.querySelectorAll("#live li").length === 1`),
		until(`document.querySelector("#live h3").textContent === "系统维护通知"`),
		until(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`))
	picture(t, ctx, "demo-phone")
	do(t, ctx, dark(),
		chromedp.EmulateViewport(1280, 900), chromedp.Reload(), until(`document.querySelectorAll("#past-list li").length === 1`))
	picture(t, ctx, "demo-dark")
}

func TestWhatAMessageSaysIsTextOnThePage(t *testing.T) {
	u := startDemoUp(t, nil)
	ctx := browser(t)
	evil := `{"order":"<img src=x onerror=alert(1)>","amount":"<script>alert(2)</script>"}`
	do(t, ctx, chromedp.Navigate(u.url+"/demo?lang=en"), until(`document.getElementById("state").dataset.state === "open"`))
	if _, errout, err := tidingsCommand(t, u.env, "send", "order.refund_requested", "--user", "lin", "--channel", "web", "--data", evil); err != nil {
		t.Fatal(err, errout)
	}
	do(t, ctx, until(`document.querySelector("#live h3")?.textContent.includes("<img src=x onerror=alert(1)>")`),
		until(`document.querySelectorAll("#live img, #live script").length === 0`))
}

func TestTheDashboardShowsOurQueuesToAnAdminAlone(t *testing.T) {
	u := startDemoUp(t, nil)
	ctx := browser(t)
	do(t, ctx, chromedp.EmulateViewport(1280, 1000), chromedp.Navigate(u.url+"/queues"), chromedp.WaitVisible(chromedp.CSS("#password")))
	picture(t, ctx, "login")
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#password"), "a wrong token\n"), chromedp.WaitVisible(chromedp.CSS("#wrong")),
		chromedp.SendKeys(chromedp.CSS("#password"), u.env["TIDINGS_ADMIN_TOKEN"]+"\n"),
		chromedp.WaitVisible(chromedp.CSS("#root table")), until(`document.body.innerText.includes("normal-deliver-web")`))
	picture(t, ctx, "queues")
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
	ctx := browser(t)
	tick := `[...document.querySelectorAll("#types input")]`
	do(t, ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Navigate(u.url+"/inbox/preferences?lang=zh#token="+u.env["TIDINGS_TOKEN"]),
		until(tick+`.length >= 2 && `+tick+`.every(i => i.checked) && !location.hash`))
	picture(t, ctx, "preferences-phone")
	do(t, ctx, click("#types fieldset label:last-child input"), until(`(document.getElementById("from").value = "22:00", document.getElementById("to").value = "07:30", true)`),
		click("#form button"), until(`document.getElementById("note").textContent === "已保存。"`),
		chromedp.EmulateViewport(1280, 900), chromedp.Navigate(u.url+"/inbox/preferences?lang=en"), // the token is kept in the tab
		until(tick+`.filter(i => !i.checked).length === 1 && document.getElementById("to").value === "07:30"`))
	picture(t, ctx, "preferences-wide")
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
	do(t, ctx, chromedp.Navigate(u.url+"/inbox?lang=en"), until(`document.querySelectorAll("#list li").length === 2`),
		until(`document.querySelector("#list li.spared").innerText.includes("you muted these") && !document.querySelector("#list li.spared button")`))
	picture(t, ctx, "inbox-spared")
}

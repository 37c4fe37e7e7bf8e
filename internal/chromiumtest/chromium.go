// Package chromiumtest is a headless Chromium for tests, with what a person does and sees in it.
package chromiumtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// How long a machine with much to do may take.
const (
	patience = 90 * time.Second // for one thing to be seen: a page waits up to 30 s before it comes back to a server that was away
	together = 5 * time.Minute  // for all steps of one Do
)

// Step is one thing that a person does or sees.
type Step = chromedp.Action[chromedp.Void]

// Window is a tab that a person looks at.
type Window struct {
	t   testing.TB
	ctx context.Context
	// Close closes the tab.
	Close context.CancelFunc
}

// Open starts a browser with a profile of its own, which ends with the test. What its pages complain about (exceptions, refused scripts,
// with the address) fails the test, unless fine finds nothing wrong with it.
func Open(t testing.TB, fine func(complaint string) bool) Window {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("allow-pre-commit-input", true)) // else clicks and keys before a page's first frame are thrown away
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	w := tab(t, allocator) // its first run starts the browser, which lives as long as this context
	said, listened := chromedp.Console(w.ctx), make(chan struct{})
	go func() {
		defer close(listened)
		for m, err := range said {
			complains := err == nil && (m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleError)
			if complaint := m.Text + " " + m.URL; complains && !fine(complaint) {
				t.Errorf("the browser says: %s", complaint)
			}
		}
	}()
	t.Cleanup(func() { _ = chromedp.Cancel(w.ctx); <-listened })
	return w
}

// Tab opens another tab of the same profile.
func (w Window) Tab() Window {
	w.t.Helper()
	return tab(w.t, w.ctx)
}

func tab(t testing.TB, of context.Context) Window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(of)
	t.Cleanup(cancel)
	late := time.AfterFunc(patience, cancel) // the first run's context is the tab's, and so cannot have an end
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	late.Stop()
	return Window{t: t, ctx: ctx, Close: cancel}
}

// Do runs steps. One that fails ends the test, with a picture of the page.
func (w Window) Do(steps ...Step) {
	w.t.Helper()
	bounded, cancel := context.WithTimeout(w.ctx, together)
	defer cancel()
	if err := chromedp.Do(bounded, steps...); err != nil {
		w.Picture("failed-" + strings.ReplaceAll(w.t.Name(), "/", "-"))
		w.t.Fatal(err)
	}
}

// Ask is what an expression is in the page.
func Ask[T any](w Window, expression string) T {
	w.t.Helper()
	bounded, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(bounded, chromedp.Evaluate[T](expression))
	if err != nil {
		w.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Picture keeps a screenshot for a person to look at, where TIDINGS_PICTURES says.
func (w Window) Picture(name string) {
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

// again runs a step again when the page went away under it, before anything was done: the protocol's error -32000.
func again(s Step) Step {
	return func(ctx context.Context, target *chromedp.Target) (v chromedp.Void, err error) {
		for range 20 {
			if v, err = s(ctx, target); err == nil || !strings.Contains(err.Error(), "-32000") {
				break
			}
		}
		return v, err
	}
}

// Until waits until an expression holds in the page, or in the one that comes after it. It asks by time: frames of a tab behind another
// one are rare.
func Until(expression string) Step {
	seen := again(chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(10*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		v, err := seen(ctx, target)
		if err != nil {
			err = fmt.Errorf("until %s: %w", expression, err)
		}
		return v, err
	}
}

// Click clicks on what is visible; between finding it and pointing at it the page may be renewed.
func Click(selector string) Step { return again(chromedp.Click(chromedp.CSS(selector))) }

package comet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tidings/internal/chromiumtest"
)

// tabsPage is a page that writes down what it hears. Its query is the module's options.
const tabsPage = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>tab</title><script type="module">
import { Tidings } from "/comet/tidings.js";
const options = Object.fromEntries(new URLSearchParams(location.search));
if (options.transport) options.transports = [options.transport];
if (options.without) options[options.without] = null;
window.got = [];
window.tidings = new Tidings({ ...options, minBackoff: 20, maxBackoff: 200, ackDelay: 20, token: () => fetch("/token").then((r) => r.text()) });
tidings.on("message", (m) => got.push(m.title));
tidings.on("gone", (m) => got.push("gone " + m.number));
tidings.on("reset", ({ cursor }) => got.push("reset " + cursor));
tidings.on("close", (c) => c.code >= 3500 && got.push("closed " + c.reason));
tidings.start();
</script>`

// tabs is the tabs of one browser profile on a node's page.
type tabs struct {
	*rig
	browser chromiumtest.Window
	tokens  atomic.Int64  // how many were asked for
	life    time.Duration // of a token
	sent    int
	streams *Streams
}

func newTabs(t *testing.T) *tabs {
	b := &tabs{rig: newRig(t), life: time.Hour - time.Minute}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		b.tokens.Add(1)
		token, _, err := b.rig.tokens.Mint(claims("ann", time.Now().Add(b.life)))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, token)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, tabsPage)
	})
	b.pages = mux
	streams, stop := b.rig.streams()
	t.Cleanup(stop)
	b.streams = streams
	b.browser = chromiumtest.Open(t, func(string) bool { return true })
	return b
}

// tab is one open page.
type tab struct {
	chromiumtest.Window
	all  *tabs
	want []string
}

// open opens a page and waits until it is connected, itself or by the tab that leads.
func (b *tabs) open(s *site, query string) *tab {
	b.t.Helper()
	p := &tab{all: b, Window: b.browser.Tab()}
	p.Do(chromedp.Navigate(s.url + "/?" + query))
	p.until(`tidings.state === "connected" && tidings.cursor !== null`)
	return p
}

func (p *tab) until(expression string) {
	p.all.t.Helper()
	defer func() {
		if p.all.t.Failed() {
			p.all.t.Logf("it has %q", p.got())
		}
	}()
	p.Do(chromiumtest.Until(expression))
}

func (p *tab) got() []string {
	p.all.t.Helper()
	return chromiumtest.Ask[[]string](p.Window, `got`)
}

func (p *tab) leads() bool {
	p.all.t.Helper()
	return chromiumtest.Ask[bool](p.Window, `tidings.leading`)
}

// has waits until the tab has heard these words after the earlier ones, and nothing else.
func (p *tab) has(words ...string) {
	p.all.t.Helper()
	p.want = append(p.want, words...)
	all, _ := json.Marshal(p.want)
	p.until(`got.length >= ` + fmt.Sprint(len(p.want)))
	if got := p.got(); !slices.Equal(got, p.want) {
		p.all.t.Fatalf("it heard %q, not %s", got, all)
	}
}

// send sends n messages and returns their titles.
func (b *tabs) send(n int) (titles []string) {
	b.t.Helper()
	for range n {
		b.sent++
		titles = append(titles, fmt.Sprint("订单 ", b.sent))
		b.rig.send(b.streams, "ann", titles[len(titles)-1])
	}
	return titles
}

// leader tells the tab that leads from the one that follows.
func leader(t *testing.T, a, b *tab) (leads, follows *tab) {
	t.Helper()
	switch x, y := a.leads(), b.leads(); {
	case x && !y:
		return a, b
	case y && !x:
		return b, a
	default:
		t.Fatalf("leading: %v and %v", x, y)
		return nil, nil
	}
}

func TestTwoTabsShareOneConnectionAndBothHearEverythingOnce(t *testing.T) {
	for _, transport := range []string{"ws", "stream", "events", "poll"} {
		t.Run(transport, func(t *testing.T) {
			b := newTabs(t)
			s := b.node(nil)
			b.listen = strings.TrimPrefix(s.url, "http://")
			one, two := b.open(s, "transport="+transport), b.open(s, "transport="+transport)
			leads, follows := leader(t, one, two)
			titles := b.send(20)
			one.has(titles...)
			two.has(titles...)
			if n := s.Connections(); n > 1 {
				t.Fatalf("%d connections", n)
			}
			b.until("acknowledged", func() bool { return b.list.ackedOf("ann") == 20 })

			s.stop()
			titles = b.send(10)
			s = b.node(nil)
			titles = append(titles, b.send(10)...)
			one.has(titles...)
			two.has(titles...)

			leads.Close()
			titles = b.send(10)
			follows.has(titles...)
			follows.until("tidings.leading")
			fresh := b.open(s, "transport="+transport)
			titles = b.send(10)
			follows.has(titles...)
			fresh.has(titles...)
			b.until("acknowledged", func() bool { return b.list.ackedOf("ann") == 60 })

			b.list.restored()
			follows.has("reset e2.60")
			fresh.has("reset e2.60")
			titles = b.send(3)
			follows.has(titles...)
			fresh.has(titles...)
		})
	}
}

func TestATabThatWasFrozenCatchesUpWithTheOthers(t *testing.T) {
	b := newTabs(t)
	s := b.node(func(o *Options) { o.Heartbeat = 200 * time.Millisecond })
	one, two := b.open(s, "transport=stream"), b.open(s, "transport=stream")
	leads, follows := leader(t, one, two)
	for i, frozen := range []*tab{follows, leads} { // a leader that is frozen loses the lead
		awake := []*tab{leads, follows}[i]
		frozen.freeze("frozen")
		titles := b.send(10)
		awake.has(titles...)
		awake.until("tidings.leading")
		more := b.send(2)
		awake.has(more...)
		frozen.freeze("active")
		frozen.has(append(titles, more...)...)
	}
	titles := b.send(2)
	one.has(titles...)
	two.has(titles...)
	leader(t, one, two)
}

func (p *tab) freeze(state cdppage.SetWebLifecycleStateState) {
	p.all.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, cdppage.SetWebLifecycleState, cdppage.SetWebLifecycleStateParams{State: state})
		return err
	}))
}

func TestANetworkThatIsCutLosesNothing(t *testing.T) {
	b := newTabs(t)
	s := b.node(nil)
	one, two := b.open(s, ""), b.open(s, "") // the default: the first choice is a WebSocket
	titles := b.send(2)
	for _, p := range []*tab{one, two} {
		p.has(titles...)
		p.until(`tidings.transport === "ws"`)
	}
	for _, p := range []*tab{one, two} {
		p.network(false)
	}
	b.until("the server is left", func() bool { return s.Connections() == 0 })
	titles = b.send(10)
	leads, _ := leader(t, one, two)
	leads.until(`tidings.state !== "connected"`)
	for _, p := range []*tab{one, two} {
		p.network(true)
	}
	titles = append(titles, b.send(2)...)
	one.has(titles...)
	two.has(titles...)
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// conditions are the parameters of networkConditions: bytes a second, -1 for no limit.
type conditions struct {
	Offline  bool    `json:"offline"`
	Latency  float64 `json:"latency"`
	Download float64 `json:"downloadThroughput"`
	Upload   float64 `json:"uploadThroughput"`
}

// networkConditions is what the browser's own switch does. It is older than the commands of cdproto.
var networkConditions = cdp.Command[conditions, cdp.Empty]{Method: "Network.emulateNetworkConditions"}

// network cuts the tab off, or joins it again.
func (p *tab) network(on bool) {
	p.all.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, networkConditions, conditions{Offline: !on, Download: -1, Upload: -1})
		return err
	}))
}

func TestWithoutLocksEachTabIsAClientOfItsOwn(t *testing.T) {
	for _, without := range []string{"locks", "BroadcastChannel", "share"} {
		t.Run(without, func(t *testing.T) {
			b := newTabs(t)
			s := b.node(nil)
			one, two := b.open(s, "without="+without), b.open(s, "without="+without)
			b.until("both are connected", func() bool { return s.Connections() == 2 })
			titles := b.send(10)
			one.has(titles...)
			two.has(titles...)
		})
	}
}

func TestTabsGoOnWithANewTokenWhenTheirsEnds(t *testing.T) {
	b := newTabs(t)
	b.life = 2 * time.Second
	s := b.node(nil)
	one, two := b.open(s, ""), b.open(s, "")
	asked := b.tokens.Load()
	titles := b.send(5)
	b.rig.until("a new token is asked for", func() bool { return b.tokens.Load() > asked })
	titles = append(titles, b.send(5)...)
	one.has(titles...)
	two.has(titles...)
}

func TestTooManyConnectionsOfAUserStopAllTabsOfTheProfile(t *testing.T) {
	b := newTabs(t)
	s := b.node(func(o *Options) { o.PerUser = 1 })
	one, two := b.open(s, ""), b.open(s, "")
	s.open("/comet/stream?client=elsewhere", b.rig.token("ann")).frame()
	for _, p := range []*tab{one, two} {
		p.has("closed too_many_open")
		p.until(`tidings.state === "stopped"`)
	}
}

package comet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/inspector"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"tidings"
)

// The tab that leads dies while messages flow: first as hard as a tab can, and the one that leads then in an orderly way.
func TestTheLeadersDeathLosesNothingAndOneConnectionIsHeldBeforeAndAfter(t *testing.T) {
	for _, transport := range []string{"ws", "events", "poll"} {
		t.Run(transport, func(t *testing.T) {
			b := newTabs(t)
			s := b.node(nil)
			var open []*tab
			for range 3 {
				open = append(open, b.open(s, "transport="+transport))
			}
			flow := b.flow(t)
			flow.until(20)
			for i, die := range []func(*tab){(*tab).crash, func(p *tab) { p.Close() }} {
				at := b.leader(open, flow)
				b.holdsOne(s, transport)
				die(open[at])
				open = slices.Delete(open, at, at+1)
				flow.until(flow.sent.Load() + 20)
				if i == 0 { // one more, which begins where the storage of the profile stands
					open = append(open, b.open(s, "transport="+transport))
				}
			}
			b.leader(open, flow)
			b.holdsOne(s, transport)
			total := flow.end()
			if len(open) != 2 {
				t.Fatalf("%d tabs are left", len(open))
			}
			for _, p := range open {
				p.hasAllUpTo(total)
			}
			b.until("acknowledged", func() bool { return b.list.ackedOf("ann") == total })
		})
	}
}

// flow is messages that are sent one after the other.
type flow struct {
	*tabs
	sent atomic.Int64
	end  func() int64 // ends it and returns how many there were
}

func (b *tabs) flow(t *testing.T) *flow {
	f := &flow{tabs: b}
	ctx, cancel := context.WithCancel(t.Context())
	var stopped atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.Tick(5 * time.Millisecond); !stopped.Load(); <-tick {
			if err := b.streams.Append(ctx, []tidings.UserEntry{b.list.commit("ann", fmt.Sprint("订单 ", f.sent.Add(1)))}); err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
		}
	})
	f.end = sync.OnceValue(func() int64 { stopped.Store(true); wg.Wait(); cancel(); return f.sent.Load() })
	t.Cleanup(func() { f.end() })
	return f
}

func (f *flow) until(n int64) {
	f.t.Helper()
	f.rig.until("messages flow", func() bool { return f.sent.Load() >= n })
}

// leader waits until one of the tabs leads and hears what is sent, so that the connection that is held is its own, and returns its place.
func (b *tabs) leader(open []*tab, flow *flow) (at int) {
	b.t.Helper()
	b.until("a tab leads", func() bool {
		at = slices.IndexFunc(open, (*tab).leads)
		return at >= 0
	})
	open[at].until(fmt.Sprintf(`got.includes("订单 %d")`, flow.sent.Load()+1))
	return at
}

// holdsOne waits until the server holds one connection of the browser, and then sees it hold no other for a while: by its count of
// connections and by the leases of the user. A poll's is not there between two requests.
func (b *tabs) holdsOne(s *site, transport string) {
	b.t.Helper()
	held := func() (connections int, clients int64) {
		return int(s.Connections()), b.redis.HLen(b.t.Context(), leaseKey("ann")).Val()
	}
	b.until("one connection is held", func() bool { n, clients := held(); return n == 1 && clients == 1 })
	for began, sent := time.Now(), b.list.head("ann"); time.Since(began) < 5*time.Second && b.list.head("ann") < sent+20; {
		n, clients := held()
		if n > 1 || clients > 1 || n+int(clients) < 2 && transport != "poll" {
			b.t.Fatalf("%d connections of %d clients are held", n, clients)
		}
	}
}

func (l *list) head(user string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.entries[user]))
}

// crash ends the tab's process: no code of the page's has a last word.
func (p *tab) crash() {
	p.all.t.Helper()
	crashed := make(chan struct{})
	p.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		dead, end := target.Subscribe(inspector.TargetCrashed.Method)
		defer end()
		go func() { // never answered
			defer close(crashed)
			_, _ = cdp.Call(ctx, target, cdppage.Crash, cdp.Empty{})
		}()
		select {
		case <-dead:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	p.Close()
	<-crashed
}

// hasAllUpTo waits until the tab has heard number n, and sees that it heard each number before it from its first one on, once.
func (p *tab) hasAllUpTo(n int64) {
	p.all.t.Helper()
	p.until(fmt.Sprintf(`got.at(-1) === "订单 %d"`, n))
	got := p.got()
	var first int64
	if _, err := fmt.Sscanf(got[0], "订单 %d", &first); err != nil {
		p.all.t.Fatalf("it heard %q first", got[0])
	}
	for i, title := range got {
		if title != fmt.Sprint("订单 ", first+int64(i)) {
			p.all.t.Fatalf("place %d of %s", i, strings.Join(got, ", "))
		}
	}
	if first+int64(len(got))-1 != n {
		p.all.t.Fatalf("%d to %d in %d places", first, n, len(got))
	}
}

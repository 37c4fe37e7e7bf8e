package comet

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestEveryTransportBringsEveryNumberInOrderAndOnce(t *testing.T) {
	for _, transport := range []string{"stream", "events"} {
		t.Run(transport, func(t *testing.T) {
			g := newRig(t)
			s := g.node(nil)
			p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
			if h := p.frame(); h.Cursor != "e1.0" || h.HeartbeatMS == 0 {
				t.Fatalf("the hello is %+v", h)
			}
			for i := range 50 {
				g.send(s.Streams, "ann", fmt.Sprint("订单 ", i))
			}
			consecutive(t, p.numbers(50), 1)
		})
	}
}

func TestAPollAnswersAtOnceWhenThereIsSomethingAndElseWaits(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	token := g.token("ann")
	if h := s.poll(token, ""); h.Cursor != "e1.0" {
		t.Fatalf("a poll without a cursor begins at %+v", h)
	}
	g.send(s.Streams, "ann", "one")
	if h := s.poll(token, "cursor=e1.0"); len(h.Messages) != 1 || h.Cursor != "e1.1" {
		t.Fatalf("what is there: %+v", h)
	}
	answer := make(chan heard)
	go func() { answer <- s.poll(token, "cursor=e1.1&wait=20s") }()
	g.until("the poll waits", func() bool { return s.Connections() == 1 })
	g.send(s.Streams, "ann", "two")
	if h := <-answer; len(h.Messages) != 1 || h.Messages[0].Number != 2 {
		t.Fatalf("what came while it waited: %+v", h)
	}
	if h := s.poll(token, "cursor=e1.2&wait=50ms"); len(h.Messages) != 0 || h.Cursor != "e1.2" {
		t.Fatalf("an empty wait: %+v", h)
	}
	g.until("the polls' cursors acknowledged", func() bool { return g.list.ackedOf("ann") == 2 })
}

func TestALateAppendFillsTheHoleFromSQL(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	var entries []tidings.UserEntry
	for range 6 {
		entries = append(entries, g.list.commit("ann", "x"))
	}
	for _, i := range []int{0, 1, 2, 3, 5, 4, 4, 5} { // 6 before 5, then both again
		if err := s.Streams.Append(t.Context(), entries[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	consecutive(t, p.numbers(6), 1)
	g.send(s.Streams, "ann", "seven")
	consecutive(t, p.numbers(1), 7)
}

func TestWhatTheUserMayNoLongerSeeIsGoneAndLeavesNoHole(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for range 3 {
		g.send(s.Streams, "ann", "x")
	}
	g.list.mu.Lock()
	g.list.gone["ann"] = map[int64]bool{2: true}
	g.list.changed = []string{"ann"}
	g.list.mu.Unlock()
	g.until("the change is seen", func() bool {
		sh := s.shards.of("ann")
		sh.mu.Lock()
		defer sh.mu.Unlock()
		return sh.changed["ann"] > 0
	})
	h := s.poll(g.token("ann"), "cursor=e1.0")
	if len(h.Messages) != 3 || !h.Messages[1].Gone || h.Messages[1].Title != "" {
		t.Fatalf("%+v", h)
	}
}

func TestFlushAllWhileConnectedLosesAndDoublesNothing(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	pages := map[string]*page{}
	for i := range 5 {
		user := "user" + strconv.Itoa(i)
		pages[user] = s.open("/comet/"+[]string{"stream", "events"}[i%2]+"?client=c1", g.token(user))
		pages[user].frame()
	}
	const each = 150
	done := make(chan error)
	go func() {
		for i := range each {
			for user := range pages {
				if err := s.Streams.Append(t.Context(), []tidings.UserEntry{g.list.commit(user, "x")}); err != nil {
					done <- err
					return
				}
			}
			if i%60 == 30 {
				if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for user, p := range pages {
		got := p.numbers(each)
		consecutive(t, got, 1)
		if len(got) != each {
			t.Fatalf("%s has %d", user, len(got))
		}
	}
}

func TestTheLastNumberBeforeAFlushIsFoundInSQL(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	g.send(s.Streams, "ann", "one")
	consecutive(t, p.numbers(1), 1)
	g.list.commit("ann", "its append, its bell and all else is lost")
	if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	consecutive(t, p.numbers(1), 2)
}

func TestANewerConnectionOfTheSameClientTakesOverOnAnyNode(t *testing.T) {
	g := newRig(t)
	a, b := g.node(nil), g.node(nil)
	token := g.token("ann")
	old := a.open("/comet/stream?client=c1", token)
	old.frame()
	other := a.open("/comet/stream?client=c2", token)
	other.frame()
	fresh := b.open("/comet/events?client=c1", token)
	fresh.frame()
	h := old.frame()
	if h.Close == nil || h.Close.Code != Replaced || h.Close.Code.Again() {
		t.Fatalf("the old connection heard %+v", h)
	}
	if _, err := old.next(); err != io.EOF {
		t.Fatalf("after its close it got %v", err)
	}
	g.send(a.Streams, "ann", "x")
	consecutive(t, fresh.numbers(1), 1)
	consecutive(t, other.numbers(1), 1)
}

func TestTheOldestConnectionOfAUserIsClosedWhenThereAreTooMany(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.PerUser = 2 })
	first := s.open("/comet/stream?client=c1", g.token("ann"))
	first.frame()
	for _, client := range []string{"c2", "c3"} {
		s.open("/comet/stream?client="+client, g.token("ann")).frame()
	}
	if h := first.frame(); h.Close == nil || h.Close.Code != TooManyOpen {
		t.Fatalf("the oldest heard %+v", h)
	}
}

func TestAClientResumesOnAnotherNodeWithItsCursor(t *testing.T) {
	g := newRig(t)
	a, b := g.node(nil), g.node(nil)
	p := a.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	g.send(a.Streams, "ann", "one")
	cursor := p.frame().Cursor
	a.stop()
	g.send(b.Streams, "ann", "two")
	g.send(b.Streams, "ann", "three")
	p = b.open("/comet/stream?client=c1&cursor="+cursor, g.token("ann"))
	consecutive(t, p.numbers(2), 2)
}

func TestAConnectionEndsWithItsToken(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	token, _, err := g.tokens.Mint(claims("ann", time.Now().Add(2*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	h := s.open("/comet/stream?client=c1", token)
	h.frame()
	if f := h.frame(); f.Close == nil || f.Close.Code != TokenExpired || !f.Close.Code.Again() {
		t.Fatalf("at the token's end: %+v", f)
	}
}

func TestATokenThatOnlyShowsSomeTypesSkipsTheOthersWithoutAHole(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	p := s.open("/comet/stream?client=c1", g.token("ann", "invoice"))
	p.frame()
	g.send(s.Streams, "ann", "an order")
	e := g.list.commit("ann", "an invoice")
	e.Entry.Type = "invoice"
	if err := s.Streams.Append(t.Context(), []tidings.UserEntry{e}); err != nil {
		t.Fatal(err)
	}
	if h := p.frame(); h.Cursor != "e1.2" || len(h.Messages) != 1 || h.Messages[0].Number != 2 {
		t.Fatalf("%+v", h)
	}
}

func TestASlowReaderHoldsNobodyAndGetsEverythingWhenItReadsOn(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	slow, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_ = slow.(*net.TCPConn).SetReadBuffer(256 << 10)
	fmt.Fprintf(slow, "GET /comet/stream?client=slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", g.token("ann"))
	quick := s.open("/comet/stream?client=quick", g.token("ann"))
	quick.frame()
	g.until("both are there", func() bool { return s.Connections() == 2 })
	text := strings.Repeat("慢", 8000)
	const count = 350 // 8 MB: more than the sockets hold
	for range count {
		g.send(s.Streams, "ann", text)
	}
	consecutive(t, quick.numbers(count), 1)
	for _, c := range s.shards.conns(nil) {
		c.mu.Lock()
		if len(c.pending) > 2*s.Buffer {
			t.Errorf("%d bytes wait for a slow reader", len(c.pending))
		}
		c.mu.Unlock()
	}
	consecutive(t, readStream(t, slow, count), 1)
}

func TestAReaderThatTakesNothingIsCut(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.Stall = 100 * time.Millisecond })
	stuck, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	_ = stuck.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(stuck, "GET /comet/stream?client=slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", g.token("ann"))
	g.until("it is there", func() bool { return s.Connections() == 1 })
	text := strings.Repeat("x", 30000)
	g.until("it is cut", func() bool { g.send(s.Streams, "ann", text); return s.Connections() == 0 })
}

func TestAPollsConnectionServesPipelinedRequests(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g.send(s.Streams, "ann", "one")
	head := " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + g.token("ann") + "\r\n\r\n"
	fmt.Fprintf(c, "GET /comet/poll?client=c1&cursor=e1.1&wait=10s%sGET /comet/poll?client=c1&cursor=e1.1&wait=60ms%s", head, head)
	g.until("the first waits", func() bool { return s.Connections() == 1 })
	g.send(s.Streams, "ann", "two")
	responses := newResponses(c)
	for i := range 2 {
		if body := responses.next(t); !strings.Contains(body, `"number":2`) {
			t.Fatalf("answer %d: %s", i+1, body)
		}
	}
	for range 3 { // and goes on serving
		fmt.Fprintf(c, "GET /comet/poll?client=c1&cursor=e1.2&wait=30ms%s", head)
		if body := responses.next(t); !strings.Contains(body, `"cursor":"e1.2"`) {
			t.Fatal(body)
		}
	}
}

func TestDrainAsksEveryoneToComeBackAndTakesNobody(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	p := s.open("/comet/events?client=c1", g.token("ann"))
	p.frame()
	answer := make(chan heard)
	go func() { answer <- s.poll(g.token("bob"), "cursor=e1.0&wait=20s") }()
	g.until("both wait", func() bool { return s.Connections() == 2 })
	s.Drain(t.Context(), 100*time.Millisecond)
	if h := p.frame(); h.Close == nil || h.Close.Code != GoingAway {
		t.Fatalf("the stream heard %+v", h)
	}
	if h := <-answer; h.Close == nil || h.Close.Code != GoingAway || h.Cursor != "e1.0" {
		t.Fatalf("the poll heard %+v", h)
	}
	if status, _ := s.ask("GET", "/comet/stream?client=c1", g.token("ann"), ""); status != http.StatusServiceUnavailable {
		t.Fatalf("a new one got %d", status)
	}
	if s.Ready() == nil {
		t.Fatal("it is ready")
	}
}

func TestAHangUpIsNoticed(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	_ = p.response.Body.Close()
	g.until("it is gone", func() bool { return s.Connections() == 0 })
	g.until("its lease is given up", func() bool { return g.redis.HLen(t.Context(), leaseKey("ann")).Val() == 0 })
}

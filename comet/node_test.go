package comet

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

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
	waits := s.request("GET", "/comet/poll?client=c1&cursor=e1.1&wait=20s", token, "")
	answer := make(chan string, 1)
	go func() {
		status, body, err := do(waits)
		answer <- fmt.Sprint(status, body, err)
	}()
	s.holds(1)
	g.send(s.Streams, "ann", "two")
	if said := <-answer; !strings.Contains(said, `"number":2`) {
		t.Fatalf("what came while it waited: %s", said)
	}
	if h := s.poll(token, "cursor=e1.2&wait=50ms"); len(h.Messages) != 0 || h.Cursor != "e1.2" {
		t.Fatalf("an empty wait: %+v", h)
	}
	g.until("the polls' cursors acknowledged", func() bool { return g.list.ackedOf("ann") == 2 })
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
	s.holds(1)
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

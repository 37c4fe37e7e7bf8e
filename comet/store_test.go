package comet

import (
	"encoding/json"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// numbered has the real store accept a message to store acme-1, walk it to the web and number it.
func numbered(t *testing.T, db *sql.DB) []tidings.UserEntry {
	t.Helper()
	m := tidings.Message{Application: "shop", Type: "order", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web},
		Audience: tidings.Audience{Stores: []string{"acme-1"}}, Data: json.RawMessage(`{}`), ExpiresAt: time.Now().Add(time.Hour)}
	_, err := db.Accept(t.Context(), tidings.Request{Application: "shop", Messages: []tidings.Message{m},
		Respond: func([]tidings.Message) []byte { return []byte("{}") }})
	must(t, err)
	var entries []tidings.UserEntry
	for {
		open, err := db.Untouched(t.Context(), 0, 1000)
		must(t, err)
		if len(open) == 0 {
			return entries
		}
		for _, s := range open {
			entries = append(entries, step(t, db, s)...)
		}
	}
}

// step does one segment's work with the store's own methods, as the handlers do.
func step(t *testing.T, db *sql.DB, s tidings.Segment) (entries []tidings.UserEntry) {
	t.Helper()
	ctx, segments := t.Context(), []tidings.Segment{s}
	switch s.Stage {
	case tidings.Acquire:
		ms, err := db.AcquireWork(ctx, segments)
		must(t, err)
		var p tidings.AcquirePage
		for _, m := range ms {
			found, size, err := db.ResolvePage(ctx, m, 1000)
			must(t, err)
			p.Notifications = append(p.Notifications, found...)
			p.Ended = append(p.Ended, tidings.AcquireEnd{Message: m.ID, Size: size})
		}
		_, err = db.Acquired(ctx, segments, p)
		must(t, err)
	case tidings.Render:
		w, err := db.RenderWork(ctx, segments)
		must(t, err)
		var rs []tidings.Rendered
		for _, m := range w.Messages {
			rs = append(rs, tidings.Rendered{Message: m.ID, Channel: tidings.Web, Locale: tidings.DefaultLocale, Version: 1, Content: tidings.Content{Title: "x"}})
		}
		_, err = db.Rendered(ctx, segments, w.Items, rs)
		must(t, err)
	case tidings.Route:
		w, err := db.RouteWork(ctx, segments)
		must(t, err)
		var ds []tidings.Delivery
		for _, item := range w.Items {
			m := w.Messages[item.Message]
			contents := map[tidings.Channel]tidings.PlannedContent{tidings.Web: {Locale: tidings.DefaultLocale}}
			for _, d := range tidings.Plan(tidings.Planning{Now: w.Now, Channels: m.Channels, ExpiresAt: m.ExpiresAt, Contents: contents}) {
				d.Message, d.User = m.ID, item.User
				ds = append(ds, d)
			}
		}
		_, err = db.Routed(ctx, segments, ds, tidings.Waiting{})
		must(t, err)
	case tidings.Deliver:
		var err error
		entries, err = db.Number(ctx, segments)
		must(t, err)
		must(t, db.Finish(ctx, segments, 0))
	}
	return entries
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOverTheRealStoreAccessEndsWithTheMembershipAndAnAcknowledgementDelivers(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		g := newRig(t)
		g.store = db
		must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "acme"}}))
		must(t, db.PutStores(ctx, []tidings.Store{{ID: "acme-1", Merchant: "acme"}}))
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "ann", Memberships: []tidings.Membership{{Store: "acme-1", Role: "clerk"}}}}))
		must(t, db.CreateApplication(ctx, tidings.Application{ID: "shop", Name: "shop", State: tidings.ApplicationActive}))
		must(t, db.PutType(ctx, tidings.MessageType{Application: "shop", Name: "order", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web}}))
		epoch, err := db.Epoch(ctx)
		must(t, err)

		s := g.node(func(o *Options) { o.Changes = 0 }) // as in service
		p := s.open("/comet/stream?client=c1", g.token("ann"))
		p.frame()
		must(t, s.Streams.Append(ctx, numbered(t, db)))
		lost := numbered(t, db) // its append does not come: a later one shows the hole
		must(t, s.Streams.Append(ctx, numbered(t, db)))
		consecutive(t, p.numbers(3), 1)
		if len(lost) != 1 || lost[0].Entry.Number != 2 {
			t.Fatalf("numbered %+v", lost)
		}
		status, body := s.ask("POST", "/comet/ack", g.token("ann"), `{"client":"c1","cursor":"`+epoch+`.2"}`)
		if status != 204 {
			t.Fatal(status, body)
		}
		g.until("two are delivered", func() bool {
			b, err := db.Balance(ctx, time.Hour)
			must(t, err)
			return b.Deliveries[tidings.Delivered] == 2 && b.Deliveries[tidings.Sent] == 1
		})

		late := numbered(t, db)
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "ann"}})) // out of the store
		out := time.Now()
		sh := s.shards.of("ann")
		g.until("the node knows", func() bool { sh.mu.Lock(); defer sh.mu.Unlock(); return sh.changed["ann"] > 0 })
		if took := time.Since(out); took > 5*time.Second {
			t.Errorf("access was off after %s", took)
		}
		must(t, s.Streams.Append(ctx, late)) // a worker held it
		if h := p.frame(); len(h.Messages) != 1 || h.Messages[0].Number != 4 || !h.Messages[0].Gone {
			t.Errorf("the open stream brought %+v", h)
		}
		h := s.poll(g.token("ann"), "cursor="+epoch+".0&client=c2")
		if len(h.Messages) != 4 {
			t.Fatalf("%+v", h)
		}
		for _, m := range h.Messages {
			if !m.Gone || m.Title != "" {
				t.Errorf("after the membership ended: %+v", m)
			}
		}
	})
}

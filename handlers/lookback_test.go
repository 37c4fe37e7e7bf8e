package handlers_test

import (
	"context"
	dbsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// upTo runs what is on the conveyor up to a stage, and returns the segments that wait for it.
func (w *world) upTo(stage string) (waiting []tidings.Segment) {
	w.t.Helper()
	w.collect()
	for {
		s, ok := w.next()
		if !ok {
			return waiting
		}
		if name(s) == stage {
			waiting = append(waiting, s)
			continue
		}
		following, err := w.stages[name(s)].Run(context.Background(), s)
		must(w.t, err)
		w.queue = append(w.queue, following...)
	}
}

// together runs segments of a stage at once, each twice over.
func (w *world) together(ss []tidings.Segment) {
	w.t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, 2*len(ss))
	for i := range errs {
		wg.Go(func() {
			s := ss[i/2]
			if _, err := w.stages[name(s)].Run(context.Background(), s); !errors.Is(err, tidings.ErrStale) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	must(w.t, errs...)
}

func (w *world) count(ms []tidings.Message, want string) (n int) {
	w.t.Helper()
	for _, m := range ms {
		for _, state := range w.states(m) {
			if state == want {
				n++
			}
		}
	}
	return n
}

func TestACapHoldsUnderTwoWorkersAtOnceAndCountsWhatReachedTheUser(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.rule("refund", func(t *tidings.MessageType) {
			t.Caps = []tidings.Cap{{Channel: tidings.SMS, Count: 3, Window: 3600}, {Channel: tidings.Web, Count: 5, Window: 3600}}
		})
		var ms []tidings.Message
		for range 8 {
			ms = append(ms, w.accept(message("refund", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.Web, tidings.SMS))...)
		}
		w.together(w.upTo("route"))
		if n, m := w.count(ms, "queued"), w.count(ms, "suppressed over_cap"); n != 2*3 || m != 2*(5+3) || w.count(ms, "sent") != 2*5 {
			t.Fatalf("%d queued, %d suppressed: %v", n, m, w.states(ms[0]))
		}
		w.unlost()

		// What the provider refuses does not count: as many more go out.
		w.sender.reply = func(tidings.Call) error {
			return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
		}
		w.run()
		w.sender.reply = nil
		for range 4 {
			ms = append(ms, w.accept(message("refund", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.SMS))...)
		}
		w.together(w.upTo("route"))
		w.run()
		if n := w.count(ms[8:], "sent"); n != 2*3 {
			t.Errorf("%d sent after the refusals", n)
		}
		w.balanced()

		v, err := w.preview(message("refund", tidings.Audience{Users: []string{"u00", "u02"}}, tidings.SMS))
		must(t, err)
		if v["u00"] != "suppressed over_cap" || v["u02"] != "queued" {
			t.Errorf("a preview says %v", v)
		}
	})
}

func TestACapOfTheApplicationCountsAllOfItsTypes(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.publish("other", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "x"})
		w.publish("must", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "x"})
		w.rule("must", func(t *tidings.MessageType) { t.Mandatory = []tidings.Channel{tidings.SMS} })
		w.quota(tidings.Quota{Caps: []tidings.Cap{{Channel: tidings.SMS, Count: 2, Window: 3600}}, SMSBudget: 100})
		to := tidings.Audience{Users: []string{"u00", "u01"}}
		ms := w.accept(message("refund", to, tidings.SMS), message("other", to, tidings.SMS), message("refund", to, tidings.SMS), message("must", to, tidings.SMS))
		w.run()
		if n := w.count(ms, "sent"); n != 2*3 || w.count(ms[3:], "sent") != 2 || w.count(ms, "suppressed over_cap") != 2 {
			t.Errorf("%d sent", n)
		}
		w.wantBudget(0, 6, 0)
		w.balanced()
	})
}

func TestASecondThatSaysTheSameIsSparedIfTheFirstSucceeds(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.rule("refund", func(t *tidings.MessageType) { t.Dedup = &tidings.Dedup{Window: 600, Key: "{{ order }}"} })
		to := tidings.Audience{Users: []string{"u00"}}
		order := func(id string) tidings.Message {
			m := message("refund", to, tidings.Web, tidings.SMS)
			m.Data = json.RawMessage(fmt.Sprintf(`{"order":%q}`, id))
			m.SendAt = time.Now().Add(-time.Second) // what had a time is not kept in memory: the route stage reads the data itself
			return m
		}
		var ms []tidings.Message
		for range 6 {
			ms = append(ms, w.accept(order("A-1"))...)
		}
		w.together(w.upTo("route"))
		if w.count(ms, "queued") != 1 || w.count(ms, "sent") != 1 || w.count(ms, "suppressed duplicate") != 10 {
			t.Fatalf("%v %v", w.states(ms[0]), w.states(ms[1]))
		}
		w.sender.reply = func(tidings.Call) error {
			return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
		}
		w.run()
		w.sender.reply = nil
		next := w.accept(order("A-1"), order("B-2"))
		w.run()
		w.wants(next[0], map[string]string{"u00 web": "suppressed duplicate", "u00 sms": "sent"}) // the first SMS failed
		w.wants(next[1], map[string]string{"u00 web": "sent", "u00 sms": "sent"})
		w.balanced()
		unread, err := db.Unread(context.Background(), "u00", nil)
		must(t, err)
		if unread != 2 {
			t.Errorf("%d unread", unread)
		}
	})
}

func TestANewerTakesThePlaceOfWhatWaits(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		keyed := func(at time.Time) tidings.Message {
			m := message("refund", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.Web, tidings.SMS)
			m.CollapseKey, m.SendAt = "order 7", at
			return m
		}
		old := w.accept(keyed(time.Now().Add(20 * time.Minute)))[0]
		w.run()
		w.prefers("u01", nil, tidings.Preference{Channel: tidings.SMS, Muted: true})
		now := w.accept(keyed(time.Time{}))[0]
		w.run()
		w.wants(old, map[string]string{"u00 web": "canceled collapsed", "u00 sms": "canceled collapsed", "u01 web": "canceled collapsed", "u01 sms": "suppressed muted"})
		w.wants(now, map[string]string{"u00 web": "sent", "u00 sms": "sent", "u01 web": "sent", "u01 sms": "suppressed muted"})
		w.balanced()
		// It was never shown: it waited for its time.
		if n := number(t, raw, "SELECT count(*) FROM visible WHERE user_id = 'u00'"); n != 1 {
			t.Errorf("%d in the history", n)
		}
		if n := number(t, raw, "SELECT count(*) FROM remembered"); n == 0 {
			t.Error("nothing is remembered")
		}
		change(t, raw, "UPDATE remembered SET until = 1")
		if _, err := w.db.ForgetRemembered(context.Background()); err != nil || number(t, raw, "SELECT count(*) FROM remembered") != 0 {
			t.Errorf("it is still remembered, %v", err)
		}
	})
}

func TestInTheInboxTheOlderIsGoneIfItsTypeSaysSo(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		ctx := context.Background()
		w.rule("web", func(t *tidings.MessageType) { t.Replace = true })
		keyed := func() tidings.Message {
			m := message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web)
			m.CollapseKey = "order 7"
			return m
		}
		for range 5 { // routed in any order, by many at once: the newest stands
			w.accept(keyed())
		}
		before := time.Now()
		w.together(w.upTo("route"))
		w.run()
		known := w.streams.renews
		m := keyed()
		m.SendAt = time.Now().Add(-time.Second) // not kept in memory: its entry is read from the record
		m = w.accept(m)[0]
		w.run()
		if known == 0 || w.streams.renews != known+1 {
			t.Errorf("%d and then %d entries have a page read anew", known, w.streams.renews-known)
		}
		entries, gone, head, err := db.Tail(ctx, "u00", 0, 10)
		must(t, err)
		if len(entries) != 1 || !entries[0].Replaces || entries[0].ID != m.ID || len(gone) == 0 || len(gone)+1 != int(head) {
			t.Errorf("%+v, gone %v, head %d", entries, gone, head)
		}
		changed, _, err := db.ChangedUsers(ctx, before.UnixMicro())
		must(t, err)
		if len(gone) > 0 && !slices.Contains(changed, "u00") {
			t.Error("comet goes on believing what it keeps")
		}
		unread, err := db.Unread(ctx, "u00", nil)
		must(t, err)
		items, _, err := db.Inbox(ctx, "u00", tidings.InboxQuery{})
		must(t, err)
		if unread != 1 || len(items) != 6 || items[0].Reason != tidings.NoReason || items[1].Reason != tidings.Collapsed {
			t.Errorf("%d unread, %d in the history", unread, len(items))
		}
		w.balanced()
	})
}

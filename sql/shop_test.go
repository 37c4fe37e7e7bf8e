package sql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings"
	"tidings/sql"
)

// The directory of the tests: ids with '_' and '.', which a careless pattern would match with others.
//
//	acme: stores acme_1, acme-1 · users boss (merchant), ann (acme_1), bob (acme-1), both (merchant and acme_1)
//	rival: store r.1 · user rita (r.1)
func openShop(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx := context.Background()
	must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "acme", Name: "Acme", Attributes: map[string]string{"tier": "gold"}}, {ID: "rival", Name: "Rival"}}))
	must(t, db.PutStores(ctx, []tidings.Store{
		{ID: "acme_1", Merchant: "acme", Name: "One", Region: "east", Timezone: "Asia/Shanghai", Attributes: map[string]string{"floor": "2"}},
		{ID: "acme-1", Merchant: "acme", Name: "Dash"}, {ID: "r.1", Merchant: "rival", Name: "R"}}))
	must(t, db.PutUsers(ctx, []tidings.User{
		{ID: "boss", Name: "Boss", Memberships: []tidings.Membership{{Merchant: "acme", Role: "owner"}}},
		{ID: "ann", Name: "Ann", Locale: "en", Memberships: []tidings.Membership{{Store: "acme_1", Role: "clerk"}}},
		{ID: "bob", Name: "Bob", Memberships: []tidings.Membership{{Store: "acme-1", Role: "clerk"}}},
		{ID: "both", Name: "Both", Memberships: []tidings.Membership{{Merchant: "acme", Role: "owner"}, {Store: "acme_1", Role: "clerk"}}},
		{ID: "rita", Name: "Rita", Memberships: []tidings.Membership{{Store: "r.1", Role: "clerk"}}}}))
	for _, user := range []string{"boss", "ann"} {
		must(t, db.PutAddresses(ctx, user, []tidings.Address{{Channel: tidings.SMS, Value: "+8613800000000"}}))
	}
	for _, app := range []string{"orders", "payments"} {
		must(t, db.CreateApplication(ctx, tidings.Application{ID: app, Name: app, State: tidings.ApplicationActive}))
		must(t, db.PutType(ctx, tidings.MessageType{Application: app, Name: "note", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web, tidings.SMS}}))
	}
}

// accept accepts a message of application orders and returns its id. It does not go on from there: drive does.
func accept(t *testing.T, db *sql.DB, m tidings.Message) tidings.ID {
	t.Helper()
	m.Application, m.Lane = "orders", tidings.Normal
	if m.Type == "" {
		m.Type = "note"
	}
	if m.Channels == nil {
		m.Channels = []tidings.Channel{tidings.Web}
	}
	if m.ExpiresAt.IsZero() {
		m.ExpiresAt = time.Now().Add(time.Hour)
	}
	if m.Data == nil {
		m.Data = json.RawMessage(`{}`)
	}
	var id tidings.ID
	_, err := db.Accept(context.Background(), tidings.Request{Application: m.Application, Messages: []tidings.Message{m},
		Respond: func(ms []tidings.Message) []byte { id = ms[0].ID; return []byte("{}") }})
	must(t, err)
	return id
}

// send accepts a message and walks it down the road.
func send(t *testing.T, db *sql.DB, m tidings.Message) tidings.ID {
	t.Helper()
	id := accept(t, db, m)
	drive(t, db)
	return id
}

func toStores(ids ...string) tidings.Message {
	return tidings.Message{Audience: tidings.Audience{Stores: ids}}
}

func toUsers(ids ...string) tidings.Message {
	return tidings.Message{Audience: tidings.Audience{Users: ids}}
}

// drive does what is left to do, stage by stage, with the store's own methods as the handlers use them. Every provider
// takes every call.
func drive(t *testing.T, db *sql.DB) {
	t.Helper()
	for {
		open, err := db.Untouched(context.Background(), 0, 1000)
		must(t, err)
		if len(open) == 0 {
			return
		}
		for _, s := range open {
			if err := stages[s.Stage](db, s); err != nil && !errors.Is(err, tidings.ErrStale) {
				t.Fatalf("%s: %v", s.TaskID(), err)
			}
		}
	}
}

var stages = map[tidings.StageName]func(*sql.DB, tidings.Segment) error{
	tidings.Acquire: acquire, tidings.Render: render, tidings.Route: route, tidings.Deliver: deliver,
}

func acquire(db *sql.DB, s tidings.Segment) error {
	ctx := context.Background()
	ms, err := db.AcquireWork(ctx, []tidings.Segment{s})
	if err != nil {
		return err
	}
	var p tidings.AcquirePage
	for _, m := range ms {
		found, size, err := db.ResolvePage(ctx, m, 1<<30)
		if err != nil {
			return err
		}
		p.Notifications = append(p.Notifications, found...)
		end := tidings.AcquireEnd{Message: m.ID, Size: size}
		if size == 0 {
			end.Reason = tidings.NoRecipients
		}
		p.Ended = append(p.Ended, end)
	}
	_, err = db.Acquired(ctx, []tidings.Segment{s}, p)
	return err
}

func render(db *sql.DB, s tidings.Segment) error {
	ctx := context.Background()
	w, err := db.RenderWork(ctx, []tidings.Segment{s})
	if err != nil {
		return err
	}
	// What was remembered is given once: the second time the record is read.
	read, err := db.RenderWork(ctx, []tidings.Segment{s})
	if err != nil {
		return err
	}
	if err := same(w.Items, read.Items); err != nil {
		return err
	}
	for id, m := range read.Messages {
		m.Audience, m.ExpiresAt, m.AcceptedAt, m.CollapseKey = w.Messages[id].Audience, w.Messages[id].ExpiresAt, w.Messages[id].AcceptedAt, w.Messages[id].CollapseKey // not read
		if err := same(w.Messages[id], m); err != nil {
			return err
		}
	}
	var rs []tidings.Rendered
	for _, m := range w.Messages {
		for _, c := range m.Channels {
			r := tidings.Rendered{Message: m.ID, Channel: c, Locale: tidings.DefaultLocale, Version: 1}
			r.Content = tidings.Content{Title: "title for " + string(c), Body: "body for " + string(c)}
			if string(m.Data) == `{"fail":true}` {
				r.Content, r.Reason, r.Detail = tidings.Content{}, tidings.TemplateFailed, "line 1: no such variable"
			}
			if c == tidings.SMS && r.Reason == tidings.NoReason {
				r.Parts, _ = r.Content.SMS()
			}
			rs = append(rs, r)
		}
	}
	_, err = db.Rendered(ctx, []tidings.Segment{s}, w.Items, rs)
	return err
}

func route(db *sql.DB, s tidings.Segment) error {
	ctx := context.Background()
	w, err := db.RouteWork(ctx, []tidings.Segment{s})
	if err != nil {
		return err
	}
	read, err := db.RouteWork(ctx, []tidings.Segment{s})
	if err != nil {
		return err
	}
	for id, m := range read.Messages {
		known := w.Messages[id]
		if err := same([]any{known.Channels, known.SendAt, known.ExpiresAt, known.Canceled, known.CollapseKey}, []any{m.Channels, m.SendAt, m.ExpiresAt, m.Canceled, m.CollapseKey}); err != nil {
			return err
		}
		var made []tidings.Rendered
		for _, r := range w.Contents[id] {
			made = append(made, tidings.Rendered{Message: r.Message, Channel: r.Channel, Locale: r.Locale, Reason: r.Reason, Parts: r.Parts})
		}
		if err := same(made, read.Contents[id]); err != nil {
			return err
		}
	}
	if err := errors.Join(same(w.Items, read.Items), same(w.Addresses, read.Addresses)); err != nil {
		return err
	}
	if d := read.Now.Sub(w.Now); d < -time.Second || d > time.Minute {
		return fmt.Errorf("the clock went %s", d)
	}
	var ds []tidings.Delivery
	for _, item := range w.Items {
		m := w.Messages[item.Message]
		contents := map[tidings.Channel]tidings.PlannedContent{}
		for _, r := range w.Contents[m.ID] {
			contents[r.Channel] = tidings.PlannedContent{Locale: r.Locale, Reason: r.Reason}
		}
		for _, d := range tidings.Plan(tidings.Planning{Now: w.Now, Channels: m.Channels, SendAt: m.SendAt, ExpiresAt: m.ExpiresAt,
			Canceled: m.Canceled, Contents: contents, Addresses: w.Addresses[item.User]}) {
			d.Message, d.User = m.ID, item.User
			ds = append(ds, d)
		}
	}
	_, err = db.Routed(ctx, []tidings.Segment{s}, ds, tidings.Waiting{})
	return err
}

func deliver(db *sql.DB, s tidings.Segment) error {
	ctx := context.Background()
	if s.Channel == tidings.Web {
		if s.ID%2 == 0 { // half of them take the other way
			db.Forget()
		}
		entries, err := db.Number(ctx, []tidings.Segment{s})
		if err != nil {
			return err
		}
		for _, e := range entries {
			read, gone, _, err := db.Tail(ctx, e.User, e.Entry.Number-1, 1)
			if err == nil && len(gone) == 0 {
				err = same([]tidings.Entry{e.Entry}, read)
			}
			if err != nil {
				return err
			}
		}
		return db.Finish(ctx, []tidings.Segment{s}, 0)
	}
	claim, items, err := db.Claim(ctx, s, time.Minute)
	if err != nil {
		return err
	}
	out, err := db.Outgoing(ctx, claim, items)
	if err != nil {
		return err
	}
	if out, err = db.Begin(ctx, claim, time.Minute, "kannel", "kannel", out); err != nil {
		return err
	}
	var ss []tidings.Settlement
	for _, o := range out {
		ss = append(ss, tidings.Settlement{Attempt: o.Call.Attempt, State: tidings.Sent, ProviderID: "p1", Parts: 1, User: o.User, Channel: s.Channel})
	}
	if err := db.Settle(ctx, ss); err != nil {
		return err
	}
	return db.Finish(ctx, []tidings.Segment{s}, claim.Token)
}

// same compares what a process remembers with what the record says.
func same[T any](known, read T) error {
	a, errA := json.Marshal(known)
	b, errB := json.Marshal(read)
	if string(a) != string(b) {
		return fmt.Errorf("remembered %s, read %s", a, b)
	}
	return errors.Join(errA, errB)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode fails unless err is the caller's mistake of that code.
func wantCode(t testing.TB, err error, code tidings.Code) {
	t.Helper()
	if tidings.CodeOf(err) != code {
		t.Fatalf("error %v, want %s", err, code)
	}
}

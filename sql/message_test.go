package sql_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func statusOf(t testing.TB, db *sql.DB, id tidings.ID) tidings.MessageStatus {
	t.Helper()
	s, err := db.Message(context.Background(), "orders", id)
	must(t, err)
	return s
}

func TestAMessageTellsHowItFaresFromStageToStage(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		m := tidings.Message{Audience: tidings.Audience{Merchants: []string{"acme"}, Scope: tidings.ScopeMerchant}, Channels: []tidings.Channel{tidings.Web, tidings.SMS}}
		id := accept(t, db, m)
		var words []string
		for {
			s := statusOf(t, db, id)
			if words = append(words, s.Status); s.Status == "accepted" && s.Users != -1 {
				t.Errorf("%d users before anybody counted", s.Users)
			}
			open, err := db.Untouched(context.Background(), 0, 1)
			must(t, err)
			if len(open) == 0 {
				break
			}
			must(t, stages[open[0].Stage](db, open[0]))
		}
		if want := []string{"accepted", "processing", "done"}; !slices.Equal(slices.Compact(words), want) {
			t.Errorf("%v, want %v", words, want)
		}
		s := statusOf(t, db, id)
		want := map[tidings.Channel]map[tidings.State]int{tidings.Web: {tidings.Sent: 2}, tidings.SMS: {tidings.Sent: 1, tidings.Suppressed: 1}}
		if !reflect.DeepEqual(s.Counts, want) || s.Users != 2 || !reflect.DeepEqual(s.Audience, m.Audience) || string(s.Data) != "{}" {
			t.Errorf("%+v, want counts %v", s, want)
		}
	})
}

func TestAMessageToNobodyFailsWithItsReason(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		if s := statusOf(t, db, send(t, db, toUsers("nobody"))); s.Status != "failed" || s.Reason != tidings.NoRecipients || s.Users != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAMessageIsFoundByItsOwnApplicationOnly(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		id := accept(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"ann"}}, CancellationKey: "order-7"})
		_, err := db.Message(ctx, "payments", id)
		wantCode(t, err, tidings.NotFound)
		_, _, err = db.Deliveries(ctx, "payments", id, "", 10)
		wantCode(t, err, tidings.NotFound)
		_, err = db.Cancel(ctx, "payments", id)
		wantCode(t, err, tidings.NotFound)
		if n, err := db.CancelKey(ctx, "payments", "order-7"); err != nil || n != 0 {
			t.Errorf("another application canceled %d, %v", n, err)
		}
		if ss, _, err := db.Messages(ctx, tidings.MessageQuery{Application: "payments"}); err != nil || len(ss) > 0 {
			t.Errorf("another application lists %v, %v", ss, err)
		}
		if s := statusOf(t, db, id); s.Status != "accepted" {
			t.Errorf("status %s", s.Status)
		}
		if _, err := db.Message(ctx, "", id); err != nil {
			t.Errorf("an admin: %v", err)
		}
	})
}

func TestMessagesAreListedByTypeAndTime(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.PutType(ctx, tidings.MessageType{Application: "orders", Name: "note.2", Lane: tidings.Normal}))
		a, b := accept(t, db, toUsers("ann")), accept(t, db, tidings.Message{Type: "note.2", Audience: tidings.Audience{Users: []string{"ann"}}})
		c := accept(t, db, toUsers("ann"))
		at := statusOf(t, db, b).AcceptedAt
		for name, want := range map[string]struct {
			q    tidings.MessageQuery
			ids  []tidings.ID
			more bool
		}{
			"all":   {tidings.MessageQuery{Application: "orders"}, []tidings.ID{c, b, a}, false},
			"type":  {tidings.MessageQuery{Application: "orders", Type: "note"}, []tidings.ID{c, a}, false},
			"since": {tidings.MessageQuery{Since: at}, []tidings.ID{c, b}, false},
			"until": {tidings.MessageQuery{Until: at}, []tidings.ID{a}, false},
			"page":  {tidings.MessageQuery{PageQuery: tidings.PageQuery{Limit: 1, Before: c}}, []tidings.ID{b}, true},
			"newer": {tidings.MessageQuery{PageQuery: tidings.PageQuery{Limit: 1, After: a}}, []tidings.ID{b}, true},
		} {
			ss, more, err := db.Messages(ctx, want.q)
			must(t, err)
			var ids []tidings.ID
			for _, s := range ss {
				ids = append(ids, s.ID)
			}
			wantIDs(t, name, ids, want.ids...)
			if more != want.more {
				t.Errorf("%s: more %v", name, more)
			}
		}
	})
}

func TestTheTraceGoesDownToAttemptsAndReceipts(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		id := send(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"ann", "bob"}}, Channels: []tidings.Channel{tidings.Web, tidings.SMS}})
		attempt := anAttempt(t, db)
		for _, kind := range []tidings.ReceiptKind{tidings.ReceiptAccepted, tidings.ReceiptDelivered} {
			must(t, db.Receive(ctx, tidings.Receipt{Attempt: attempt, Kind: kind, Detail: "d"}))
		}
		ds, more, err := db.Deliveries(ctx, "orders", id, "", 1)
		must(t, err)
		if len(ds) != 2 || !more || ds[0].User != "ann" || ds[0].Channel != tidings.SMS || ds[1].Channel != tidings.Web {
			t.Fatalf("%+v, more %v", ds, more)
		}
		if d := ds[0]; d.State != tidings.Delivered || len(d.Attempts) != 1 || d.ChangedAt.IsZero() {
			t.Fatalf("%+v", d)
		}
		a := ds[0].Attempts[0]
		if a.ID != attempt || a.N != 1 || a.Provider != "kannel" || a.State != tidings.Sent || a.ProviderID != "p1" || a.Parts != 1 || a.StartedAt.IsZero() || a.EndedAt.Before(a.StartedAt) {
			t.Errorf("%+v", a)
		}
		if rs := a.Receipts; len(rs) != 2 || rs[0].Kind != tidings.ReceiptAccepted || rs[1].Kind != tidings.ReceiptDelivered || rs[1].Detail != "d" {
			t.Errorf("%+v", rs)
		}
		ds, more, err = db.Deliveries(ctx, "", id, "ann", 1)
		must(t, err)
		if len(ds) != 2 || more || ds[0].User != "bob" || ds[0].Reason != tidings.NoAddress || len(ds[0].Attempts) != 0 {
			t.Errorf("%+v, more %v", ds, more)
		}
	})
}

func TestTheTraceTellsWhyThereIsNoContent(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		id := send(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"ann"}}, Data: []byte(`{"fail":true}`)})
		ds, _, err := db.Deliveries(context.Background(), "orders", id, "", 0)
		must(t, err)
		if len(ds) != 1 || ds[0].State != tidings.Failed || ds[0].Reason != tidings.TemplateFailed || ds[0].Detail != "line 1: no such variable" {
			t.Errorf("%+v", ds)
		}
	})
}

func TestCancelTakesBackWhatIsPendingAndNothingElse(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		gone := send(t, db, toUsers("ann"))
		held := send(t, db, tidings.Message{Audience: tidings.Audience{Stores: []string{"acme_1"}}, SendAt: time.Now().Add(30 * time.Minute), CancellationKey: "order-7"})
		fresh := accept(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"bob"}}, CancellationKey: "order-7"})
		if n, err := db.Cancel(ctx, "orders", gone); err != nil || n != 0 {
			t.Errorf("took back %d of what was sent, %v", n, err)
		}
		if n, err := db.CancelKey(ctx, "orders", "order-7"); err != nil || n != 2 {
			t.Errorf("took back %d, %v", n, err)
		}
		if n, err := db.CancelKey(ctx, "orders", "order-7"); err != nil || n != 0 {
			t.Errorf("took back %d a second time, %v", n, err)
		}
		drive(t, db)
		for id, want := range map[tidings.ID]map[tidings.State]int{gone: {tidings.Sent: 1}, held: {tidings.Canceled: 2}, fresh: {tidings.Canceled: 1}} {
			if s := statusOf(t, db, id); !reflect.DeepEqual(s.Counts[tidings.Web], want) || s.Status != "canceled" {
				t.Errorf("%s %v, want %v", s.Status, s.Counts, want)
			}
		}
		if b := balanced(t, db); len(b.Faults) > 0 {
			t.Errorf("%+v", b.Faults)
		}
	})
}

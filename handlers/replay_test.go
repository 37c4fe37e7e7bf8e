package handlers_test

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// replies says what the provider answers to each user.
func (w *world) replies(errs map[string]error) {
	w.sender.reply = func(c tidings.Call) error { return errs[c.User] }
}

var (
	errRefused = &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, Err: errors.New("no such number")}
	errSilent  = &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: errors.New("eof")}
)

// aged makes what ended look as if it had a minute ago.
func aged(t *testing.T, raw *dbsql.DB) {
	t.Helper()
	change(t, raw, "UPDATE deliveries SET changed_at = changed_at - 60000000 WHERE state IN ('failed', 'unknown', 'expired', 'suppressed')")
}

func (w *world) replay(r tidings.Replay) tidings.Replay {
	w.t.Helper()
	made, _, err := w.db.CreateReplay(context.Background(), r)
	must(w.t, err)
	for done := false; !done; {
		_, done, err = w.db.ReplayStep(context.Background(), made.ID)
		must(w.t, err)
	}
	made, err = w.db.Replay(context.Background(), "", made.ID)
	must(w.t, err)
	return made
}

func states(ss ...tidings.State) tidings.Replay {
	return tidings.Replay{MadeBy: "test", Filter: tidings.ReplayFilter{States: ss}}
}

// stateOf is the state of each user's delivery of a message.
func (w *world) statesOf(m tidings.Message) map[string]tidings.State {
	w.t.Helper()
	got := map[string]tidings.State{}
	for _, d := range w.trace(m) {
		got[d.User] = d.State
	}
	return got
}

func wantMap[K, V comparable](t *testing.T, what string, got, want map[K]V) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func TestAReplaySendsAgainWhatEndedWithoutASuccessAndNothingElse(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.quota(tidings.Quota{SMSBudget: 100})
		w.replies(map[string]error{"u01": errRefused, "u02": errSilent, "u03": errRefused})
		m := w.accept(sms("u00", "u01", "u02", "u03", "u06"))[0] // u06 has no address
		w.run()
		w.wantBudget(0, 2, 2)
		aged(t, raw)

		for name, c := range map[string]struct {
			r     tidings.Replay
			count int
			why   map[tidings.LeftOut]int
		}{
			"failed":        {states(tidings.Failed), 2, nil},
			"both":          {states(tidings.Failed, tidings.UnknownEnd), 3, nil},
			"no address":    {states(tidings.Suppressed), 0, map[tidings.LeftOut]int{tidings.LeftNoAddress: 1}},
			"other type":    {tidings.Replay{Filter: tidings.ReplayFilter{States: tidings.DeadStates, Type: "web"}}, 0, nil},
			"this type":     {tidings.Replay{Filter: tidings.ReplayFilter{States: []tidings.State{tidings.Failed}, Type: "refund", Message: m.ID}}, 2, nil},
			"reason":        {tidings.Replay{Filter: tidings.ReplayFilter{States: tidings.DeadStates, Reasons: []tidings.Reason{tidings.ProviderSilent}}}, 1, nil},
			"channel":       {tidings.Replay{Filter: tidings.ReplayFilter{States: tidings.DeadStates, Channels: []tidings.Channel{tidings.Web}}}, 0, nil},
			"since":         {tidings.Replay{Filter: tidings.ReplayFilter{States: tidings.DeadStates, Since: time.Now().Add(-30 * time.Second)}}, 0, nil},
			"until":         {tidings.Replay{Filter: tidings.ReplayFilter{States: []tidings.State{tidings.Failed}, Until: time.Now().Add(-30 * time.Second)}}, 2, nil},
			"other's":       {tidings.Replay{Application: "other", Filter: tidings.ReplayFilter{States: tidings.DeadStates}}, 0, nil},
			"named":         {named(m, "u00", "u01", "u02"), 1, map[tidings.LeftOut]int{tidings.LeftSucceeded: 1, tidings.LeftUnknown: 1}},
			"other message": {tidings.Replay{Filter: tidings.ReplayFilter{States: tidings.DeadStates, Message: m.ID + 1}}, 0, nil},
		} {
			p, err := w.db.PlanReplay(ctx, c.r, 10)
			must(t, err)
			if p.Count != c.count || p.Parts != c.count || len(p.Deliveries) != p.Count+p.Left || !maps.Equal(p.Why, c.why) {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if calls := len(w.sender.calls); calls != 4 {
			t.Fatalf("plans made %d calls", calls-4)
		}

		w.replies(nil)
		r := w.replay(states(tidings.Failed))
		if r.State != tidings.ReplayDone || r.Replayed != 2 || r.LeftOut != 0 || r.Parts != 2 || r.Now[tidings.Queued] != 2 {
			t.Fatalf("%+v", r)
		}
		w.wantBudget(2, 2, 2)
		w.run()
		wantMap(t, "states", w.statesOf(m), map[string]tidings.State{"u00": "sent", "u01": "sent", "u02": "unknown", "u03": "sent", "u06": "suppressed"})
		w.wantBudget(0, 4, 2) // what was refunded stays counted as refunded
		for _, d := range w.trace(m) {
			if d.User == "u01" && (len(d.Attempts) != 2 || d.Attempts[1].N != 2 || d.Attempts[1].State != tidings.Sent || d.Attempts[1].Integration != "i0") {
				t.Errorf("%+v", d.Attempts)
			}
		}
		r = w.replay(states(tidings.UnknownEnd, tidings.Failed))
		w.run()
		if r.Replayed != 1 || len(w.sender.calls) != 4+3 {
			t.Fatalf("%+v, %d calls", r, len(w.sender.calls))
		}
		w.wantBudget(0, 5, 2) // the unknown one may have been charged, and was charged again
		must(t, w.db.PutAddresses(ctx, "u06", []tidings.Address{{Channel: tidings.SMS, Value: "+8613800138099"}}))
		if r = w.replay(states(tidings.Suppressed)); r.Replayed != 1 {
			t.Fatalf("%+v", r)
		}
		w.run()
		if b := w.balanced(); b.Deliveries[tidings.Sent] != 5 {
			t.Fatalf("%+v", b)
		}
		log, err := w.db.Changes(ctx, tidings.ChangeQuery{Action: "replay", Limit: 10})
		must(t, err)
		if len(log) != 6 || log[0].Action != "replay.end" || log[1].Action != "replay.create" {
			t.Errorf("%+v", log)
		}
	})
}

func named(m tidings.Message, users ...string) (r tidings.Replay) {
	for _, u := range users {
		r.Filter.Deliveries = append(r.Filter.Deliveries, tidings.DeliveryKey{Message: m.ID, User: u, Channel: tidings.SMS})
	}
	r.MadeBy = "test"
	return r
}

func TestWhatAReplayLeavesOut(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.replies(map[string]error{"u00": errRefused, "u01": errSilent, "u02": errRefused, "u03": errRefused, "u04": errRefused, "u05": errRefused})
		m := w.accept(sms("u00", "u01", "u02", "u03", "u04", "u05"))[0]
		gone := w.accept(sms("u00"))[0]
		w.run()
		_, err := w.db.Cancel(ctx, "orders", gone.ID)
		must(t, err)
		change(t, raw, "UPDATE deliveries SET expires_at = 2 WHERE user_id = 'u02'")
		change(t, raw, "UPDATE notifications SET read_at = 1 WHERE user_id = 'u03'")
		must(t, w.db.PutAddresses(ctx, "u04", []tidings.Address{}))
		change(t, raw, "DELETE FROM addresses WHERE user_id = 'u04'")
		change(t, raw, "UPDATE contents SET reason = 'template_failed' WHERE locale = 'zh-CN' AND message_id = 0")
		r := states(tidings.Failed, tidings.UnknownEnd)
		p, err := w.db.PlanReplay(ctx, r, 10)
		must(t, err)
		want := map[tidings.LeftOut]int{tidings.LeftTooSoon: 1, tidings.LeftCanceled: 1, tidings.LeftExpired: 1, tidings.LeftRead: 1, tidings.LeftNoAddress: 1}
		wantMap(t, "left out", p.Why, want)
		made := w.replay(r)
		wantMap(t, "left out in the end", made.Why, want)
		if p.Count != 2 || made.Replayed != 2 || made.LeftOut != 5 {
			t.Fatalf("%+v %+v", p, made)
		}
		items, more, err := w.db.Replayed(ctx, "", made.ID, tidings.DeliveryKey{}, 5)
		must(t, err)
		if len(items) != 5 || !more || items[0].LeftOut != "" || items[0].State != tidings.Failed || items[0].Now != tidings.Queued || items[1].LeftOut != tidings.LeftTooSoon {
			t.Errorf("%+v", items)
		}
		w.replies(nil)
		w.run()
		r = named(m, "u02")
		r.ExpiresAt = time.Now().Add(time.Hour)
		if made = w.replay(r); made.Replayed != 1 {
			t.Fatalf("a new end does not help: %+v", made)
		}
		w.run()
		if got := w.statesOf(m); got["u02"] != tidings.Sent || got["u00"] != tidings.Sent || got["u03"] != tidings.Failed {
			t.Fatalf("%v", got)
		}
		_, _, err = w.db.CreateReplay(ctx, named(m, "u00", "nobody"))
		if tidings.CodeOf(err) != tidings.NotFound {
			t.Errorf("a delivery that is not there: %v", err)
		}
		w.balanced()
	})
}

func TestABudgetBoundsAReplay(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.quota(tidings.Quota{SMSBudget: 4})
		w.replies(map[string]error{"u00": errRefused, "u01": errRefused, "u02": errSilent, "u03": errSilent})
		w.accept(sms("u00", "u01", "u02", "u03"))
		w.run()
		w.wantBudget(0, 2, 2)
		aged(t, raw)
		r := states(tidings.Failed, tidings.UnknownEnd)
		p, err := w.db.PlanReplay(context.Background(), r, 10)
		must(t, err)
		made := w.replay(r)
		if p.Count != 2 || p.Why[tidings.LeftOverBudget] != 2 || made.Replayed != 2 || made.Why[tidings.LeftOverBudget] != 2 {
			t.Fatalf("%+v %+v", p, made)
		}
		w.replies(nil)
		w.run()
		w.wantBudget(0, 4, 2)
		w.balanced()
	})
}

// crowded sends an SMS to n users, and each of them fails as err says.
func (w *world) crowded(n int, err error) tidings.Message {
	w.t.Helper()
	ctx := context.Background()
	var users []tidings.User
	for i := range n {
		users = append(users, tidings.User{ID: fmt.Sprintf("c%04d", i), Name: "C", Memberships: []tidings.Membership{{Store: "acme-2", Role: "crowd"}}})
	}
	must(w.t, w.db.PutUsers(ctx, users))
	for _, u := range users {
		must(w.t, w.db.PutAddresses(ctx, u.ID, []tidings.Address{{Channel: tidings.SMS, Value: "+86139" + u.ID[1:] + "0000"}}))
	}
	w.sender.reply = func(tidings.Call) error { return err }
	m := w.accept(message("refund", tidings.Audience{Stores: []string{"acme-2"}, Roles: []string{"crowd"}}, tidings.SMS))[0]
	w.run()
	w.sender.reply = nil
	return m
}

func (w *world) callsByUser() map[string]int {
	n := map[string]int{}
	for _, c := range w.sender.calls {
		n[c.User]++
	}
	return n
}

func TestTwoReplaysAtOnceSendADeliveryOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.crowded(700, errRefused)
		var made []tidings.Replay
		for range 3 {
			r, _, err := db.CreateReplay(context.Background(), states(tidings.Failed))
			must(t, err)
			made = append(made, r)
		}
		var at sync.WaitGroup
		for i := range 6 {
			at.Go(func() {
				for done := false; !done; {
					var err error
					if _, done, err = db.ReplayStep(context.Background(), made[i%3].ID); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		at.Wait()
		sum := 0
		for _, m := range made {
			r := w.settled(m.ID)
			sum += r.Replayed
		}
		w.run()
		for u, n := range w.callsByUser() {
			if n != 2 {
				t.Errorf("%s was called %d times", u, n)
			}
		}
		if b := w.balanced(); sum != 700 || b.Deliveries[tidings.Sent] != 700 {
			t.Errorf("%d replayed, %+v", sum, b)
		}
	})
}

// settled drives a replay to its end, which another worker may have been at.
func (w *world) settled(id tidings.ID) tidings.Replay {
	w.t.Helper()
	for {
		r, err := w.db.Replay(context.Background(), "", id)
		must(w.t, err)
		if r.State != tidings.ReplayRunning {
			return r
		}
		_, _, err = w.db.ReplayStep(context.Background(), id)
		must(w.t, err)
	}
}

func TestAReceiptThatLandsWhileAReplayRunsKeepsItsDeliveryFromBeingSentAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.crowded(300, errRefused) // and not silent: its integration would be rested
		change(t, raw, "UPDATE deliveries SET state = 'unknown', reason = 'provider_silent'")
		change(t, raw, "UPDATE attempts SET state = 'unknown', reason = 'provider_silent'")
		aged(t, raw)
		r, _, err := w.db.CreateReplay(context.Background(), states(tidings.UnknownEnd))
		must(t, err)
		var at sync.WaitGroup
		kinds := []tidings.ReceiptKind{tidings.ReceiptDelivered, tidings.ReceiptAccepted, tidings.ReceiptBuffered}
		for i := range 3 {
			at.Go(func() {
				for j := i; j < len(w.sender.calls); j += 3 {
					if err := w.db.Receive(context.Background(), tidings.Receipt{Attempt: w.sender.calls[j].Attempt, Kind: kinds[i]}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		at.Go(func() {
			for done := false; !done; {
				var err error
				if _, done, err = w.db.ReplayStep(context.Background(), r.ID); err != nil {
					t.Error(err)
					return
				}
			}
		})
		at.Wait()
		w.run()
		if b := w.balanced(); len(w.sender.calls) != 300 || b.Deliveries[tidings.Delivered] != 100 || b.Deliveries[tidings.Sent] != 200 {
			t.Errorf("%d calls, %+v", len(w.sender.calls), b)
		}
	})
}

func TestAReplayThatBreaksInTheMiddleLeavesNothingHalfAndGoesOn(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		m := w.crowded(600, errRefused)
		r, _, err := w.db.CreateReplay(ctx, states(tidings.Failed))
		must(t, err)
		segments, done, err := w.db.ReplayStep(ctx, r.ID)
		must(t, err)
		if len(segments) != 1 || segments[0].Size != 500 || done {
			t.Fatalf("%+v %t", segments, done)
		}
		// A row in its way, of a delivery in the next step: the last of its statements fails.
		change(t, raw, fmt.Sprintf("INSERT INTO replayed (replay, message_id, user_id, channel, state, reason, attempts, parts, why) VALUES (%d, %d, 'c0550', 'sms', 'failed', '', 1, 1, 'x')", r.ID, m.ID))
		if _, _, err := w.db.ReplayStep(ctx, r.ID); err == nil {
			t.Fatal("it did not break")
		}
		if n := number(t, raw, "SELECT count(*) FROM deliveries WHERE state = 'failed'"); n != 100 {
			t.Fatalf("%d are failed still", n)
		}
		// The sweep tells, and sees to its other work.
		due, err := w.db.Due(ctx, 100)
		must(t, err)
		change(t, raw, "DELETE FROM replayed WHERE why = 'x'")
		more, err := w.db.Due(ctx, 100)
		must(t, err)
		if len(due) != 0 || len(more) != 1 || more[0].Size != 100 {
			t.Fatalf("%d and %d segments", len(due), len(more))
		}
		w.run()
		if again, err := w.db.Due(ctx, 100); len(again) != 0 || err != nil {
			t.Errorf("%d segments when it is done: %v", len(again), err)
		}
		if b := w.balanced(); len(w.sender.calls) != 1200 || b.Deliveries[tidings.Sent] != 600 {
			t.Errorf("%d calls, %+v", len(w.sender.calls), b)
		}
		change(t, raw, "DELETE FROM replayed WHERE user_id = 'c0001'")
		b, err := w.db.Balance(ctx, time.Minute)
		must(t, err)
		if !slices.ContainsFunc(b.Faults, func(f tidings.BalanceFault) bool { return f.Rule == "replay" && f.Where == "replay "+r.ID.String() }) {
			t.Errorf("the balance does not miss it: %+v", b.Faults)
		}
	})
}

func TestAReplayIsMadeOnceUnderItsKeyAndCanBeCanceled(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		ctx := context.Background()
		w.replies(map[string]error{"u00": errRefused})
		w.accept(sms("u00"))
		w.run()
		r := states(tidings.Failed)
		r.Key, r.Hash = "k", "h"
		first, again, err := db.CreateReplay(ctx, r)
		must(t, err)
		second, repeated, err := db.CreateReplay(ctx, r)
		must(t, err)
		if again || !repeated || first.ID != second.ID {
			t.Fatalf("%+v %+v", first, second)
		}
		r.Hash = "other"
		if _, _, err := db.CreateReplay(ctx, r); tidings.CodeOf(err) != tidings.Unprocessable {
			t.Errorf("another body under the key: %v", err)
		}
		if err := db.CancelReplay(ctx, "other", first.ID); tidings.CodeOf(err) != tidings.NotFound {
			t.Errorf("another application cancels it: %v", err)
		}
		must(t, db.CancelReplay(ctx, "", first.ID))
		if err := db.CancelReplay(ctx, "", first.ID); tidings.CodeOf(err) != tidings.Conflict {
			t.Errorf("twice: %v", err)
		}
		due, err := db.Due(ctx, 100)
		must(t, err)
		if w.run(); len(due) != 0 || len(w.sender.calls) != 1 {
			t.Errorf("%d segments, %d calls", len(due), len(w.sender.calls))
		}
		letters, _, more, err := db.DeadLetters(ctx, tidings.DeadLetterQuery{ReplayFilter: tidings.ReplayFilter{States: tidings.DeadStates}, Limit: 10})
		must(t, err)
		if len(letters) != 1 || more || letters[0].Reason != tidings.AddressRefused || letters[0].Integration != "i0" || letters[0].Detail == "" || letters[0].LeftOut != "" {
			t.Errorf("%+v", letters)
		}
	})
}

func TestDeadLettersArePagedTheNewestFirst(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.replies(map[string]error{"u00": errRefused, "u01": errRefused, "u02": errRefused})
		for range 3 {
			w.accept(sms("u00", "u01", "u02", "u03"))
			w.run()
		}
		var got []tidings.DeliveryKey
		q := tidings.DeadLetterQuery{ReplayFilter: tidings.ReplayFilter{States: []tidings.State{tidings.Failed}}, Limit: 2}
		for more := true; more; {
			var page []tidings.DeadLetter
			var err error
			page, q.Before, more, err = db.DeadLetters(context.Background(), q)
			must(t, err)
			for _, d := range page {
				got = append(got, d.DeliveryKey)
			}
		}
		if len(got) != 9 || !slices.IsSortedFunc(got, func(a, b tidings.DeliveryKey) int {
			return -slices.Compare([]string{a.Message.String(), a.User}, []string{b.Message.String(), b.User})
		}) {
			t.Errorf("%v", got)
		}
	})
}

// TestWhatAPersonSendsAgainIsNoRetry: the retry budget of an integration would stretch a replay over hours.
func TestWhatAPersonSendsAgainIsNoRetry(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.crowded(250, errRefused) // more than the retry budget holds
		w.replay(states(tidings.Failed))
		w.run()
		if b := w.balanced(); b.Deliveries[tidings.Sent] != 250 {
			t.Errorf("%+v", b.Deliveries)
		}
	})
}

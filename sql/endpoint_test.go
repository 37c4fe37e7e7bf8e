package sql_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func addEndpoint(t *testing.T, db *sql.DB, application string, events ...tidings.EventType) tidings.Endpoint {
	t.Helper()
	e, err := db.CreateEndpoint(t.Context(), tidings.Endpoint{Application: application, URL: "https://orders.example/hook", Events: events}, hookSecret)
	must(t, err)
	return e
}

// noted lists an endpoint's events, the oldest first, as "delivery.sent ann web".
func noted(t *testing.T, db *sql.DB, e tidings.Endpoint) (found []string) {
	t.Helper()
	events, _, err := db.Events(t.Context(), tidings.EventQuery{Application: e.Application, Endpoint: e.ID, PageQuery: tidings.PageQuery{Limit: 200}})
	must(t, err)
	for _, ev := range slices.Backward(events) {
		found = append(found, strings.TrimSpace(fmt.Sprint(ev.Type, " ", ev.User, " ", ev.Channel, " ", ev.Reason)))
	}
	return found
}

func wantNoted(t *testing.T, db *sql.DB, e tidings.Endpoint, want ...string) {
	t.Helper()
	found := noted(t, db, e)
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("noted %q, want %q", found, want)
	}
}

func TestEveryMoveThatAnEndpointAsksForIsNotedOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		openShop(t, db)
		both := []tidings.Channel{tidings.Web, tidings.SMS}
		all := addEndpoint(t, db, "orders", tidings.EventTypes...)
		reads := addEndpoint(t, db, "orders", tidings.EventRead)
		other := addEndpoint(t, db, "payments", tidings.EventTypes...)
		ann := toUsers("ann")
		ann.Channels = both
		first := send(t, db, ann)
		must(t, db.Receive(ctx, tidings.Receipt{Attempt: anAttempt(t, db), Kind: tidings.ReceiptDelivered}))
		must(t, db.Acknowledge(ctx, []tidings.Ack{{User: "ann", Number: 1}}))
		_, err := db.Mark(ctx, "ann", tidings.MarkRead, []tidings.ID{first}, 0)
		must(t, err)
		_, err = db.Mark(ctx, "ann", tidings.MarkRead, []tidings.ID{first}, 0) // no second time
		must(t, err)
		bob := toUsers("bob") // he has no phone
		bob.Channels = both
		send(t, db, bob)
		later := toUsers("boss")
		later.SendAt = time.Now().Add(30 * time.Minute)
		id := send(t, db, later)
		_, err = db.Cancel(ctx, "orders", id)
		must(t, err)
		send(t, db, toUsers("nobody"))
		wantNoted(t, db, all, "message.ended   no_recipients", "delivery.sent ann web", "delivery.sent ann sms", "delivery.delivered ann sms", "delivery.delivered ann web", "notification.read ann",
			"delivery.sent bob web", "delivery.suppressed bob sms no_address", "delivery.canceled boss web canceled")
		wantNoted(t, db, reads, "notification.read ann")
		wantNoted(t, db, other)
		events, _, err := db.Events(ctx, tidings.EventQuery{Application: "orders", Endpoint: reads.ID})
		must(t, err)
		if e := events[0]; e.Message != first || e.MessageType != "note" || e.State != tidings.EventPending || time.Since(e.At).Abs() > time.Minute || e.DueAt.IsZero() {
			t.Errorf("%+v", e)
		}
	})
}

// TestWithoutAnEndpointNothingIsNoted: no table of this feature is read or written by the road, and so no trigger stands there.
func TestWithoutAnEndpointNothingIsNoted(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		raw := db.Raw()
		_, err := raw.Exec("ALTER TABLE events RENAME TO away") // whoever touches it fails
		must(t, err)
		everyKindOfMessage(t, db)
		_, err = raw.Exec("ALTER TABLE away RENAME TO events")
		must(t, err)
		e := addEndpoint(t, db, "orders", tidings.EventOf(tidings.Sent))
		send(t, db, toUsers("ann"))
		wantNoted(t, db, e, "delivery.sent ann web")
		must(t, db.DeleteEndpoint(t.Context(), "orders", e.ID))
		_, err = raw.Exec("ALTER TABLE events RENAME TO away")
		must(t, err)
		everyKindOfMessage(t, db)
		must(t, db.Acknowledge(t.Context(), []tidings.Ack{{User: "ann", Number: 1}}))
		_, err = raw.Exec("ALTER TABLE away RENAME TO events") // the database is another test's after this one
		must(t, err)
	})
}

func TestTheBalanceMissesAnEventThatWasLost(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		e := addEndpoint(t, db, "orders", tidings.EventOf(tidings.Sent), tidings.EventRead, tidings.EventEnded)
		_, err := db.Raw().Exec("UPDATE endpoints SET watched_from = watched_from - 60000000") // beyond what clocks may differ by
		must(t, err)
		id := send(t, db, toUsers("ann"))
		_, err = db.Mark(t.Context(), "ann", tidings.MarkRead, []tidings.ID{id}, 0)
		must(t, err)
		send(t, db, toUsers("nobody"))
		wantNoted(t, db, e, "delivery.sent ann web", "notification.read ann", "message.ended   no_recipients")
		if n := missEach(t, db, "events", "id"); n != 3 {
			t.Errorf("%d rows", n)
		}
		late, err := db.Balance(t.Context(), -time.Minute)
		must(t, err)
		if late.Overdue != 1 || late.Faults[0].Where != "endpoint "+e.ID.String() {
			t.Errorf("nobody calls it: %+v", late)
		}
	})
}

func TestAnEventIsClaimedTriedForThreeDaysAndReplayed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		openShop(t, db)
		now := time.Now().Add(time.Hour).Truncate(time.Second)
		at := func(d time.Duration) { must(t, db.StopClock(ctx, now.Add(d))) }
		t.Cleanup(func() { must(t, db.StopClock(context.Background(), time.Time{})) })
		at(0)
		e := addEndpoint(t, db, "orders", tidings.EventOf(tidings.Sent))
		for range 2 {
			_, err := db.TestEndpoint(ctx, "orders", e.ID)
			must(t, err)
		}
		due, err := db.DueEndpoints(ctx)
		must(t, err)
		if !slices.Equal(due, []tidings.ID{e.ID}) {
			t.Fatalf("due %v", due)
		}
		first, err := db.ClaimEvents(ctx, e.ID, 16, time.Minute)
		must(t, err)
		if len(first.Events) != 2 || first.URL != e.URL || !slices.Equal(first.Secrets, []string{hookSecret}) || first.Events[0].Calls != 1 {
			t.Fatalf("%+v", first)
		}
		if again, err := db.ClaimEvents(ctx, e.ID, 16, time.Minute); err != nil || len(again.Events) != 0 {
			t.Fatalf("claimed twice: %+v %v", again, err)
		}
		at(61 * time.Second) // the worker died: another takes over, and the first's result counts no more
		second, err := db.ClaimEvents(ctx, e.ID, 16, time.Minute)
		must(t, err)
		if len(second.Events) != 2 || second.Events[0].Webhook != first.Events[0].Webhook {
			t.Fatalf("%+v", second)
		}
		result := func(w tidings.EndpointWork, i int, ok bool) tidings.EventResult {
			return tidings.EventResult{Event: w.Events[i], OK: ok, Status: 500, Error: "it answered 500", Retry: 100 * time.Hour}
		}
		_, err = db.EndEvents(ctx, e.ID, []tidings.EventResult{result(first, 0, true), result(first, 1, true)})
		must(t, err)
		_, err = db.EndEvents(ctx, e.ID, []tidings.EventResult{result(second, 0, true), result(second, 1, false)})
		must(t, err)
		states := func() (out string) {
			events, _, err := db.Events(ctx, tidings.EventQuery{Application: "orders", Endpoint: e.ID})
			must(t, err)
			for _, ev := range slices.Backward(events) {
				out += string(ev.State) + " "
			}
			return out
		}
		if s := states(); s != "delivered pending " {
			t.Fatal(s)
		}
		at(72 * time.Hour) // the last call, whatever the wait
		last, err := db.ClaimEvents(ctx, e.ID, 16, time.Minute)
		must(t, err)
		if len(last.Events) != 1 {
			t.Fatalf("%+v", last)
		}
		_, err = db.EndEvents(ctx, e.ID, []tidings.EventResult{result(last, 0, false)})
		must(t, err)
		found, err := db.Endpoint(ctx, "orders", e.ID)
		if s := states(); err != nil || s != "delivered failed " || found.Health.Failed != 1 || found.Health.Error != "it answered 500" {
			t.Fatalf("%s %+v %v", s, found, err)
		}
		if n, err := db.ReplayEvents(ctx, tidings.EventReplay{Application: "orders", Endpoint: e.ID, Since: now.Add(-time.Minute), State: tidings.EventFailed}); n != 1 || err != nil {
			t.Fatalf("replayed %d %v", n, err)
		}
		again, err := db.ClaimEvents(ctx, e.ID, 16, time.Minute)
		must(t, err)
		if len(again.Events) != 1 || again.Events[0].Webhook != last.Events[0].Webhook || again.Events[0].Calls != 1 {
			t.Errorf("%+v", again)
		}
		at(40 * 24 * time.Hour)
		if n, err := db.ForgetEvents(ctx, tidings.EventsKept); n != 2 || err != nil {
			t.Errorf("forgot %d %v", n, err)
		}
	})
}

func TestAnEndpointThatOnlyFailsIsDisabledWithNoticeAndOneThatIsGoneAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		openShop(t, db)
		now := time.Now().Add(time.Hour)
		at := func(d time.Duration) { must(t, db.StopClock(ctx, now.Add(d))) }
		t.Cleanup(func() { must(t, db.StopClock(context.Background(), time.Time{})) })
		at(0)
		bad := addEndpoint(t, db, "orders", tidings.EventOf(tidings.Sent))
		watcher := addEndpoint(t, db, "orders", tidings.EventDisabled)
		fail := func(after time.Duration, r tidings.EventResult) tidings.EndpointReason {
			t.Helper()
			at(after)
			_, err := db.TestEndpoint(ctx, "orders", bad.ID)
			must(t, err)
			w, err := db.ClaimEvents(ctx, bad.ID, 16, time.Minute)
			must(t, err)
			if len(w.Events) == 0 {
				t.Fatal("nothing is due")
			}
			r.Event = w.Events[0]
			reason, err := db.EndEvents(ctx, bad.ID, []tidings.EventResult{r})
			must(t, err)
			return reason
		}
		no := tidings.EventResult{Error: "no answer", Retry: time.Hour}
		for i := range 5 {
			if reason := fail(time.Duration(i)*12*time.Hour, no); reason != "" {
				t.Fatalf("disabled at once: %s", reason)
			}
		}
		_, err := db.Raw().Exec("UPDATE events SET due_at = due_at - 3600000000 WHERE due_at IS NOT NULL") // due, if it were not for the rest
		must(t, err)
		at(48*time.Hour + time.Second)
		if w, err := db.ClaimEvents(ctx, bad.ID, 16, time.Minute); err != nil || len(w.Events) != 0 {
			t.Errorf("it is not left alone: %+v %v", w, err)
		}
		at(49 * time.Hour)
		if w, err := db.ClaimEvents(ctx, bad.ID, 16, time.Second); err != nil || len(w.Events) != 1 {
			t.Errorf("it is not probed by one call: %+v %v", w, err)
		}
		if reason := fail(72*time.Hour+time.Second, no); reason != tidings.EndpointFailing {
			t.Fatalf("after three days of failures: %q", reason)
		}
		found, err := db.Endpoint(ctx, "orders", bad.ID)
		if err != nil || found.State != tidings.EndpointDisabled || found.Reason != tidings.EndpointFailing || found.Health.Pending == 0 {
			t.Errorf("%+v %v", found, err)
		}
		wantNoted(t, db, watcher, "endpoint.disabled   failing")
		changes, err := db.Changes(ctx, tidings.ChangeQuery{Action: "endpoint.disable", Limit: 10})
		if err != nil || len(changes) != 1 || changes[0].Actor != "system" || changes[0].Object != "endpoint "+bad.ID.String() {
			t.Errorf("%+v %v", changes, err)
		}
		before := len(noted(t, db, bad))
		must(t, db.StopClock(ctx, time.Time{}))
		send(t, db, toUsers("ann"))
		at(72*time.Hour + time.Second)
		if n := len(noted(t, db, bad)); n != before {
			t.Errorf("%d events were noted for a disabled endpoint", n-before)
		}
		if _, err := db.TestEndpoint(ctx, "orders", bad.ID); tidings.CodeOf(err) != tidings.Conflict {
			t.Errorf("a test of a disabled endpoint: %v", err)
		}
		enabled, err := db.ChangeEndpoint(ctx, "endpoint.enable", "orders", bad.ID, "", func(e *tidings.Endpoint) error {
			e.State, e.Reason = tidings.EndpointActive, ""
			return nil
		})
		if err != nil || enabled.Health.Failures != 0 || enabled.Reason != "" {
			t.Fatalf("%+v %v", enabled, err)
		}
		if reason := fail(73*time.Hour, tidings.EventResult{Gone: true, Status: 410}); reason != tidings.EndpointGone {
			t.Errorf("gone: %q", reason)
		}
	})
}

func TestAnEndpointsSecretIsSealedAndTheOldOneSignsForADay(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		openShop(t, db)
		e := addEndpoint(t, db, "orders", tidings.EventOf(tidings.Sent))
		newer := tidings.NewWebhookSecret()
		e, err := db.ChangeEndpoint(ctx, "endpoint.rotate", "orders", e.ID, newer, func(*tidings.Endpoint) error { return nil })
		if err != nil || e.OldSecretUntil.IsZero() {
			t.Fatalf("%+v %v", e, err)
		}
		secrets := func() []string {
			t.Helper()
			_, err := db.TestEndpoint(ctx, "orders", e.ID)
			must(t, err)
			w, err := db.ClaimEvents(ctx, e.ID, 16, time.Minute)
			must(t, err)
			return w.Secrets
		}
		if got := secrets(); !slices.Equal(got, []string{newer, hookSecret}) {
			t.Errorf("%q", got)
		}
		must(t, db.StopClock(ctx, time.Now().Add(25*time.Hour)))
		t.Cleanup(func() { must(t, db.StopClock(context.Background(), time.Time{})) })
		if got := secrets(); !slices.Equal(got, []string{newer}) {
			t.Errorf("after a day: %q", got)
		}
		changes, err := db.Changes(ctx, tidings.ChangeQuery{Object: "endpoint ", Limit: 10})
		must(t, err)
		for _, c := range changes {
			if strings.Contains(string(c.Detail), "whsec") {
				t.Errorf("the audit log holds a secret: %s", c.Detail)
			}
		}
		wantCode(t, db.DeleteEndpoint(ctx, "payments", e.ID), tidings.NotFound) // another's
		_, err = db.Endpoint(ctx, "payments", e.ID)
		wantCode(t, err, tidings.NotFound)
		for range tidings.MaxEndpoints - 1 {
			addEndpoint(t, db, "orders", tidings.EventRead)
		}
		_, err = db.CreateEndpoint(ctx, tidings.Endpoint{Application: "orders", URL: e.URL, Events: e.Events}, hookSecret)
		wantCode(t, err, tidings.Conflict)
		_, err = db.CreateEndpoint(ctx, tidings.Endpoint{Application: "none", URL: e.URL, Events: e.Events}, hookSecret)
		wantCode(t, err, tidings.NotFound)
	})
}

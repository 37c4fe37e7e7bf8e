package sql

import (
	"context"
	"math"
	"time"

	"tidings"
)

type eventRow struct {
	ID, Endpoint      int64
	Application, Type string
	MessageID         int64  `db:"message_id"`
	MessageType       string `db:"message_type"`
	UserID            string `db:"user_id"`
	Channel, Reason   string
	Subject, At       int64
	State             string
	Calls             int
	Claim             int64
	DueAt             int64 `db:"due_at"`
	UntilAt           int64 `db:"until_at"`
	CalledAt          int64 `db:"called_at"`
	Status            int
	Error             string
}

// event is the row as an Event. The id of its webhook holds the epoch of the record: after a restore the same number is another
// event, which a receiver must not take for a repeat.
func (r eventRow) event(epoch string) tidings.Event {
	return tidings.Event{ID: tidings.ID(r.ID), Endpoint: tidings.ID(r.Endpoint), Application: r.Application, Type: tidings.EventType(r.Type),
		Message: tidings.ID(r.MessageID), MessageType: r.MessageType, User: r.UserID, Channel: tidings.Channel(r.Channel), Reason: r.Reason,
		Subject: tidings.ID(r.Subject), At: timeOf(r.At), State: tidings.EventState(r.State), Calls: r.Calls, DueAt: timeOf(r.DueAt), Until: timeOf(r.UntilAt),
		CalledAt: timeOf(r.CalledAt), Status: r.Status, Error: r.Error, Claim: r.Claim, Webhook: webhookID(epoch, r.ID)}
}

func webhookID(epoch string, id int64) string { return "evt_" + epoch + "_" + tidings.ID(id).String() }

// Events reads events of an endpoint, the newest first.
func (db *DB) Events(ctx context.Context, q tidings.EventQuery) (found []tidings.Event, more bool, err error) {
	if _, err := db.Endpoint(ctx, q.Application, q.Endpoint); err != nil {
		return nil, false, err
	}
	epoch, err := db.Epoch(ctx)
	if err != nil {
		return nil, false, err
	}
	p := pageOf(q.PageQuery)
	var rows []eventRow
	if err := db.Select(ctx, &rows, p.query("events"), int64(q.Endpoint), q.State, p.from, p.limit+1); err != nil {
		return nil, false, err
	}
	rows, more = cut(p, rows)
	for _, r := range rows {
		found = append(found, r.event(epoch))
	}
	return found, more, nil
}

// TestEndpoint notes a test event for an endpoint, which is brought like any other and at once.
func (db *DB) TestEndpoint(ctx context.Context, application string, id tidings.ID) (webhook string, err error) {
	var event int64
	err = db.changed(ctx, "endpoint.test", "endpoint "+id.String(), endpointDetail{Application: application}, func(t *tx) error {
		if err := t.Get(ctx, &event, "note-test", application, int64(id), tidings.EventPatience.Microseconds()); noRows(err) {
			return t.notActive(ctx, application, id)
		} else if err != nil {
			return err
		}
		_, err := t.Exec(ctx, "hurry-endpoint", application, int64(id))
		return err
	})
	if err != nil {
		return "", err
	}
	epoch, err := db.Epoch(ctx)
	return webhookID(epoch, event), err
}

// notActive tells an endpoint that is disabled from one that is not there.
func (t *tx) notActive(ctx context.Context, application string, id tidings.ID) error {
	var r endpointRow
	if err := t.Get(ctx, &r, "lock-endpoint", application, int64(id)); noRows(err) {
		return noEndpoint(id)
	} else if err != nil {
		return err
	}
	if r.State != string(tidings.EndpointActive) {
		return tidings.Errorf(tidings.Conflict, "the endpoint is disabled; enable it first")
	}
	return nil
}

// ReplayEvents makes an endpoint be told again, under the same webhook ids, and tells of how many events.
func (db *DB) ReplayEvents(ctx context.Context, r tidings.EventReplay) (n int, err error) {
	until := int64(math.MaxInt64)
	if !r.Until.IsZero() {
		until = micros(r.Until)
	}
	err = db.tx(ctx, func(t *tx) error {
		if err := t.notActive(ctx, r.Application, r.Endpoint); err != nil {
			return err
		}
		again, err := t.Exec(ctx, "replay-events", int64(r.Endpoint), micros(r.Since), until, r.State, tidings.EventPatience.Microseconds())
		if err != nil {
			return err
		}
		n = int(again)
		if _, err := t.Exec(ctx, "hurry-endpoint", r.Application, int64(r.Endpoint)); err != nil {
			return err
		}
		return t.append(ctx, "endpoint.replay", "endpoint "+r.Endpoint.String(), map[string]any{"application": r.Application, "since": r.Since, "state": r.State, "events": n})
	})
	return n, err
}

// DueEndpoints are the endpoints that are to be called now.
func (db *DB) DueEndpoints(ctx context.Context) ([]tidings.ID, error) {
	var ids []tidings.ID
	return ids, db.Select(ctx, &ids, "due-endpoints")
}

// ClaimEvents takes up to limit due events of an endpoint until lease ends; of one that fails only one, to see whether it is well again.
// The claim is on the disk before anybody is called, so that no number of an event that was told is given out anew after a crash.
// Work without events is none.
func (db *DB) ClaimEvents(ctx context.Context, endpoint tidings.ID, limit int, lease time.Duration) (w tidings.EndpointWork, err error) {
	epoch, err := db.Epoch(ctx)
	if err != nil {
		return w, err
	}
	err = db.tx(ctx, func(t *tx) error {
		w = tidings.EndpointWork{Endpoint: endpoint}
		var r endpointRow
		if err := t.Get(ctx, &r, "endpoint-to-call", int64(endpoint)); noRows(err) {
			return nil
		} else if err != nil {
			return err
		}
		if w.Secrets, err = r.secrets(db.sealer); err != nil {
			return err
		}
		w.URL = r.URL
		if tidings.EndpointDelay(r.Failures) > 0 {
			limit = 1
		}
		var rows []eventRow
		if err := t.Select(ctx, &rows, "due-events", int64(endpoint), limit); err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]int64, len(rows))
		for i, row := range rows {
			row.Claim, row.Calls, ids[i] = row.Claim+1, row.Calls+1, row.ID
			w.Events = append(w.Events, row.event(epoch))
		}
		_, err := t.Exec(ctx, "claim-events", columns(ids), lease.Microseconds())
		return err
	})
	return w, err
}

// EndEvents writes what became of calls to an endpoint. A result whose claim was taken over is dropped. It disables an endpoint that is
// gone or failed for too long, with a row in the audit log and an event for the application's others, and tells why.
func (db *DB) EndEvents(ctx context.Context, endpoint tidings.ID, results []tidings.EventResult) (disabled tidings.EndpointReason, err error) {
	n := len(results)
	ids, claims, oks, statuses, texts, retries := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]string, n), make([]int64, n)
	var good, bad int
	var worst tidings.EventResult
	for i, r := range results {
		ids[i], claims[i], statuses[i], texts[i], retries[i] = int64(r.Event.ID), r.Event.Claim, int64(r.Status), r.Error, r.Retry.Microseconds()
		if r.OK {
			oks[i], good = 1, good+1
			continue
		}
		bad++
		worst = tidings.EventResult{Error: r.Error, Gone: worst.Gone || r.Gone, After: max(worst.After, r.After)}
	}
	failing := false
	err = db.tx(ctx, func(t *tx) error {
		if good > 0 {
			if _, err := t.Exec(ctx, "endpoint-succeeded", int64(endpoint)); err != nil {
				return err
			}
		}
		if bad > 0 {
			if failing, err = t.endpointFailed(ctx, endpoint, worst); err != nil {
				return err
			}
		}
		_, err := t.Exec(ctx, "end-events", columns(ids, claims, oks, statuses, texts, retries))
		return err
	})
	switch {
	case err != nil:
		return "", err
	case worst.Gone:
		return db.disable(ctx, endpoint, tidings.EndpointGone)
	case failing:
		return db.disable(ctx, endpoint, tidings.EndpointFailing)
	}
	return "", nil
}

// endpointFailed counts a failure and lets the endpoint rest. It tells whether it has failed for too long.
func (t *tx) endpointFailed(ctx context.Context, endpoint tidings.ID, r tidings.EventResult) (failing bool, err error) {
	var now struct {
		Failures int
		Failing  bool
	}
	if err := t.Get(ctx, &now, "endpoint-failed", int64(endpoint), r.Error, tidings.EndpointPatience.Microseconds()); noRows(err) {
		return false, nil // deleted meanwhile
	} else if err != nil {
		return false, err
	}
	_, err = t.Exec(ctx, "rest-endpoint", int64(endpoint), max(r.After, tidings.EndpointDelay(now.Failures)).Microseconds())
	return now.Failing, err
}

// disable disables an endpoint, unless a call has succeeded or somebody has disabled or deleted it meanwhile. A process that ends before
// finds the same at the next failure.
func (db *DB) disable(ctx context.Context, endpoint tidings.ID, reason tidings.EndpointReason) (done tidings.EndpointReason, err error) {
	err = db.tx(ctx, func(t *tx) error {
		done = ""
		var e struct {
			Application string
			Failing     bool
		}
		err := t.watch(ctx, func() error {
			err := t.Get(ctx, &e, "lock-failing", int64(endpoint), tidings.EndpointPatience.Microseconds())
			if noRows(err) || err == nil && reason == tidings.EndpointFailing && !e.Failing {
				return nil
			}
			if err != nil {
				return err
			}
			done = reason
			if _, err := t.Exec(ctx, "disable-endpoint", int64(endpoint), reason); err != nil {
				return err
			}
			_, err = t.Exec(ctx, "note-disabled", e.Application, int64(endpoint), reason, tidings.EventPatience.Microseconds())
			return err
		})
		if err != nil || done == "" {
			return err
		}
		return t.append(ctx, "endpoint.disable", "endpoint "+endpoint.String(), endpointDetail{Application: e.Application, Reason: reason})
	})
	return done, err
}

// ForgetEvents deletes events of more than age ago, in batches.
func (db *DB) ForgetEvents(ctx context.Context, age time.Duration) (n int64, err error) {
	const batch = 5000
	for {
		gone, err := db.Exec(ctx, "forget-events", age.Microseconds(), batch)
		n += gone
		if err != nil || gone < batch {
			return n, err
		}
	}
}

package sql

import (
	"context"
	"encoding/json"

	"tidings"
)

type statusRow struct {
	ID          int64
	Application string
	Type        string
	Lane        tidings.Lane
	Channels    string
	Audience    string
	Data        string
	SendAt      int64 `db:"send_at"`
	ExpiresAt   int64 `db:"expires_at"`
	AcceptedAt  int64 `db:"accepted_at"`
	Size        int
	Reason      tidings.Reason
	CanceledAt  int64 `db:"canceled_at"`
}

func (r statusRow) status() (tidings.MessageStatus, error) {
	s := tidings.MessageStatus{ID: tidings.ID(r.ID), Application: r.Application, Type: r.Type, Lane: r.Lane, Channels: splitChannels(r.Channels), Reason: r.Reason,
		AcceptedAt: timeOf(r.AcceptedAt), SendAt: timeOf(r.SendAt), ExpiresAt: timeOf(r.ExpiresAt), Data: json.RawMessage(r.Data),
		Users: r.Size, Counts: map[tidings.Channel]map[tidings.State]int{}}
	return s, json.Unmarshal([]byte(r.Audience), &s.Audience)
}

// countRow is how many deliveries of a message are in a state, and how many of these will be looked at again.
type countRow struct {
	Message int64 `db:"message_id"`
	Channel tidings.Channel
	State   tidings.State
	N, Due  int
}

// Message reads how a message fares. application "" means any; another application's message is not found.
func (db *DB) Message(ctx context.Context, application string, id tidings.ID) (tidings.MessageStatus, error) {
	var r statusRow
	if err := db.Get(ctx, &r, "message", application, int64(id)); err != nil {
		return tidings.MessageStatus{}, notFound(err, "message", id)
	}
	ss, err := db.statuses(ctx, []statusRow{r})
	if err != nil {
		return tidings.MessageStatus{}, err
	}
	return ss[0], nil
}

// Messages reads a page of messages, the newest first. more tells whether there is more beyond it, in the query's direction.
func (db *DB) Messages(ctx context.Context, q tidings.MessageQuery) (ss []tidings.MessageStatus, more bool, err error) {
	p := pageOf(q.PageQuery)
	var rows []statusRow
	err = db.Select(ctx, &rows, p.query("messages"), q.Application, q.Type, micros(q.Since), micros(q.Until), p.from, p.limit+1)
	if err != nil {
		return nil, false, err
	}
	rows, more = cut(p, rows)
	ss, err = db.statuses(ctx, rows)
	return ss, more, err
}

func (db *DB) statuses(ctx context.Context, rows []statusRow) ([]tidings.MessageStatus, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	var counts []countRow
	if err := db.Select(ctx, &counts, "message-counts", columns(ints(rows, func(r statusRow) int64 { return r.ID }))); err != nil {
		return nil, err
	}
	of := map[int64][]countRow{}
	for _, c := range counts {
		of[c.Message] = append(of[c.Message], c)
	}
	later, err := db.later(ctx, ints(rows, func(r statusRow) int64 { return r.ID }))
	if err != nil {
		return nil, err
	}
	return each(rows, func(r statusRow) (tidings.MessageStatus, error) {
		s, err := r.status()
		for _, c := range of[r.ID] {
			if s.Counts[c.Channel] == nil {
				s.Counts[c.Channel] = map[tidings.State]int{}
			}
			s.Counts[c.Channel][c.State] = c.N
		}
		s.Status = r.word(of[r.ID])
		later.of(&s)
		return s, err
	})
}

// word is the message's status. It is done when each of its channels has a delivery for every user and nothing more will
// be done for any of them.
func (r statusRow) word(counts []countRow) string {
	switch {
	case r.CanceledAt > 0 || r.Reason == tidings.CanceledByApp:
		return "canceled"
	case r.Reason != tidings.NoReason:
		return "failed"
	case r.Size < 0:
		return "accepted"
	}
	decided, open := map[tidings.Channel]int{}, r.Size > 0 && len(counts) == 0
	for _, c := range counts {
		decided[c.Channel] += c.N
		open = open || c.Due > 0 || !c.State.Final()
	}
	for _, n := range decided {
		open = open || n < r.Size
	}
	if open {
		return "processing"
	}
	return "done"
}

type deliveryRow struct {
	User      string `db:"user_id"`
	Channel   tidings.Channel
	State     tidings.State
	Reason    tidings.Reason
	DueAt     int64 `db:"due_at"`
	ChangedAt int64 `db:"changed_at"`
	Detail    string
	Decided   string
}

type attemptRow struct {
	ID          int64
	User        string `db:"user_id"`
	Channel     tidings.Channel
	N           int
	Provider    string
	Integration string
	State       tidings.State
	Reason      tidings.Reason
	Detail      string
	ProviderID  string `db:"provider_id"`
	Parts       int
	StartedAt   int64 `db:"started_at"`
	EndedAt     int64 `db:"ended_at"`
}

func (r attemptRow) trace(receipts []tidings.ReceiptTrace) tidings.AttemptTrace {
	return tidings.AttemptTrace{ID: tidings.ID(r.ID), N: r.N, Provider: r.Provider, Integration: r.Integration, State: r.State, Reason: r.Reason,
		Detail: r.Detail, ProviderID: r.ProviderID, Parts: r.Parts, StartedAt: timeOf(r.StartedAt), EndedAt: timeOf(r.EndedAt),
		Receipts: receipts}
}

// Deliveries reads what happened to a message for at most limit users from behind afterUser, in order of their ids: every
// delivery with its attempts and their receipts. more tells whether there are further users.
func (db *DB) Deliveries(ctx context.Context, application string, id tidings.ID, afterUser string, limit int) (ds []tidings.DeliveryTrace, more bool, err error) {
	var m statusRow
	if err := db.Get(ctx, &m, "message", application, int64(id)); err != nil {
		return nil, false, notFound(err, "message", id)
	}
	p := pageOf(tidings.PageQuery{Limit: limit})
	var users []string
	if err := db.Select(ctx, &users, "delivery-users", int64(id), afterUser, p.limit+1); err != nil {
		return nil, false, err
	}
	users, more = cut(p, users)
	var rows []deliveryRow
	if err := db.Select(ctx, &rows, "deliveries-of", columns(users), int64(id)); err != nil {
		return nil, false, err
	}
	attempts, err := db.attempts(ctx, id, users)
	if err != nil {
		return nil, false, err
	}
	ds = make([]tidings.DeliveryTrace, len(rows))
	for i, r := range rows {
		ds[i] = tidings.DeliveryTrace{User: r.User, Channel: r.Channel, State: r.State, Reason: r.Reason, Detail: r.Detail,
			DueAt: timeOf(r.DueAt), ChangedAt: timeOf(r.ChangedAt), Attempts: attempts[userChannel{r.User, r.Channel}],
			Decisions: tidings.Decisions(r.Channel, r.Decided)}
	}
	return ds, more, nil
}

// userChannel tells the deliveries of one message apart.
type userChannel struct {
	user    string
	channel tidings.Channel
}

func (db *DB) attempts(ctx context.Context, id tidings.ID, users []string) (map[userChannel][]tidings.AttemptTrace, error) {
	var rows []attemptRow
	if err := db.Select(ctx, &rows, "attempts-of", columns(users), int64(id)); err != nil {
		return nil, err
	}
	var receipts []struct {
		Attempt    int64
		Kind       tidings.ReceiptKind
		Detail     string
		ReceivedAt int64 `db:"received_at"`
	}
	if len(rows) > 0 { // the web has no attempts
		ids := columns(ints(rows, func(r attemptRow) int64 { return r.ID }))
		if err := db.Select(ctx, &receipts, "receipts-of", ids); err != nil {
			return nil, err
		}
	}
	receiptsOf := map[int64][]tidings.ReceiptTrace{}
	for _, r := range receipts {
		receiptsOf[r.Attempt] = append(receiptsOf[r.Attempt], tidings.ReceiptTrace{Kind: r.Kind, Detail: r.Detail, At: timeOf(r.ReceivedAt)})
	}
	of := map[userChannel][]tidings.AttemptTrace{}
	for _, r := range rows {
		k := userChannel{r.User, r.Channel}
		of[k] = append(of[k], r.trace(receiptsOf[r.ID]))
	}
	return of, nil
}

// Cancel takes back what of a message is still pending and returns how many deliveries that were. What is on its way or has
// arrived stays; stages that have not seen the message yet plan its deliveries as canceled.
func (db *DB) Cancel(ctx context.Context, application string, id tidings.ID) (canceled int, err error) {
	detail := map[string]int{}
	err = db.changed(ctx, "message.cancel", "message "+id.String(), detail, func(t *tx) error {
		var r statusRow
		if err := t.Get(ctx, &r, "message", application, int64(id)); err != nil {
			return notFound(err, "message", id)
		}
		canceled, err = t.cancel(ctx, []int64{int64(id)})
		detail["deliveries"] = canceled
		return err
	})
	return canceled, err
}

// CancelKey cancels every message of the application that has the cancellation key, and returns how many deliveries it took
// back. That there is no such message is no mistake.
func (db *DB) CancelKey(ctx context.Context, application, key string) (canceled int, err error) {
	detail := map[string]any{"key": key}
	err = db.changed(ctx, "message.cancel", "application "+application, detail, func(t *tx) error {
		var ids []int64
		if err := t.Select(ctx, &ids, "by-cancellation-key", application, key); err != nil || len(ids) == 0 {
			return err
		}
		canceled, err = t.cancel(ctx, ids)
		detail["messages"], detail["deliveries"] = len(ids), canceled
		return err
	})
	return canceled, err
}

func (t *tx) cancel(ctx context.Context, ids []int64) (int, error) {
	if err := t.cancelSteps(ctx, ids); err != nil {
		return 0, err
	}
	// Only now: a step that was becoming a message has committed it by the time that its row could be canceled.
	var children []int64
	if err := t.Select(ctx, &children, "children", columns(ids)); err != nil {
		return 0, err
	}
	if len(children) > 0 {
		if err := t.cancelSteps(ctx, children); err != nil {
			return 0, err
		}
		ids = append(ids, children...)
	}
	if err := t.cancelBroadcasts(ctx, ids); err != nil {
		return 0, err
	}
	n, err := t.Exec(ctx, "cancel-deliveries", columns(ids))
	return int(n), err
}

func (t *tx) cancelSteps(ctx context.Context, ids []int64) error {
	for _, q := range []string{"cancel-messages", "cancel-escalations"} {
		if _, err := t.Exec(ctx, q, columns(ids)); err != nil {
			return err
		}
	}
	return nil
}

package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tidings"
)

type outgoingRow struct {
	Message          int64  `db:"message_id"`
	User             string `db:"user_id"`
	State            string
	Attempts         int
	ExpiresAt        int64 `db:"expires_at"`
	Locale           string
	Expired          int
	Canceled         int
	CollapseKey      string `db:"collapse_key"`
	Type, Spec       string
	Title, Body, URL string
	Address          string
	Provider         string
	Platform         string
	Code, Signature  string // of the template at the channel's provider
	Data             string // of the message, where there is a code
}

// Outgoing reads what a claimed segment is to send: those of its deliveries that are queued, and in the state sending
// those that a worker left when it died. An address is opened only here, right before the call.
func (db *DB) Outgoing(ctx context.Context, c tidings.Claim, items []tidings.Item) ([]tidings.Outgoing, error) {
	var rows []outgoingRow
	if err := db.Select(ctx, &rows, "outgoing", itemColumns(items), string(c.Segment.Channel)); err != nil {
		return nil, err
	}
	types := map[string]tidings.MessageType{}
	out := make([]tidings.Outgoing, len(rows))
	for i, r := range rows {
		value, err := db.openAddress(r.User, c.Segment.Channel, r.Address)
		if err != nil {
			db.log.Error("deliver: an address cannot be opened", "user", r.User, "channel", c.Segment.Channel, "error", err)
		}
		out[i] = r.outgoing(c.Segment.Channel, value)
		out[i].Sealed = err != nil
		t, ok := types[r.Type]
		if !ok {
			if err := json.Unmarshal([]byte(r.Spec), &t); err != nil {
				return nil, fmt.Errorf("message type %s: %w", r.Type, err)
			}
			types[r.Type] = t
		}
		out[i].Policy = t.Policy(c.Segment.Channel)
		out[i].Call.Type = r.Type
		if r.Code != "" {
			call := &out[i].Call
			if call.Template, err = tidings.NewCallTemplate(r.Code, r.Signature, json.RawMessage(r.Data)); err != nil {
				call.TemplateError = err.Error()
			}
		}
		db.unsubscribe(&out[i].Call, c.Segment, r.Type, t)
	}
	return out, db.before(ctx, c.Segment.Channel, out)
}

// openAddress opens a sealed address; one that is gone is empty.
func (db *DB) openAddress(user string, c tidings.Channel, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	return db.sealer.Open(addressPlace(user, string(c)), sealed)
}

// before reads the earlier attempts of those deliveries that have any.
func (db *DB) before(ctx context.Context, c tidings.Channel, out []tidings.Outgoing) error {
	again := slices.DeleteFunc(slices.Clone(out), func(o tidings.Outgoing) bool { return o.Attempt == 0 })
	if len(again) == 0 {
		return nil
	}
	var rows []struct {
		Message                 int64  `db:"message_id"`
		User                    string `db:"user_id"`
		Integration, Key, State string
		PassedOn                int `db:"passed_on"`
		Replayed, Aged          int
	}
	if err := db.Select(ctx, &rows, "attempts-before", outgoingColumns(again), string(c), tidings.KeyLives.Microseconds()); err != nil {
		return err
	}
	type key struct {
		message int64
		user    string
	}
	before := map[key][]tidings.Before{}
	for _, r := range rows {
		k := key{r.Message, r.User}
		b := tidings.Before{Integration: r.Integration, Key: r.Key, State: tidings.State(r.State), PassedOn: r.PassedOn == 1, Replayed: r.Replayed == 1}
		if r.Aged == 1 || b.Replayed && b.State != tidings.UnknownEnd {
			b.Key = ""
		}
		before[k] = append(before[k], b)
	}
	for i, o := range out {
		out[i].Before = before[key{int64(o.Message), o.User}]
	}
	return nil
}

func (r outgoingRow) outgoing(c tidings.Channel, address string) tidings.Outgoing {
	expires := timeOf(r.ExpiresAt)
	state := tidings.State(r.State)
	switch {
	case state != tidings.Queued:
	case r.Canceled == 1:
		state = tidings.Canceled
	case r.Expired == 1:
		state = tidings.Expired
	}
	return tidings.Outgoing{
		Attempt:  r.Attempts,
		Delivery: tidings.Delivery{Message: tidings.ID(r.Message), User: r.User, Channel: c, State: state, ExpiresAt: expires, Locale: r.Locale},
		Call: tidings.Call{Message: tidings.ID(r.Message), User: r.User, CollapseKey: r.CollapseKey, ExpiresAt: expires,
			Address: tidings.Address{Channel: c, Value: address, Provider: r.Provider, Platform: r.Platform},
			Content: tidings.Content{Title: r.Title, Body: r.Body, URL: r.URL}},
	}
}

func itemColumns(items []tidings.Item) bulk {
	return columns(ints(items, func(i tidings.Item) int64 { return int64(i.Message) }), strs(items, func(i tidings.Item) string { return i.User }))
}

func outgoingColumns(out []tidings.Outgoing) bulk {
	return columns(ints(out, func(o tidings.Outgoing) int64 { return int64(o.Message) }), strs(out, func(o tidings.Outgoing) string { return o.User }))
}

// Begin commits an attempt at an integration for each delivery, with its key, before any call, and extends the claim by lease. It returns those that may be
// sent, each with its attempt's id: what was canceled or has expired meanwhile is not among them, and ends. ErrStale: the claim
// is lost, and nothing may be sent.
func (db *DB) Begin(ctx context.Context, c tidings.Claim, lease time.Duration, provider, integration string, out []tidings.Outgoing) ([]tidings.Outgoing, error) {
	type key struct {
		message int64
		user    string
	}
	var begun []struct {
		Message int64  `db:"message_id"`
		User    string `db:"user_id"`
		N       int64
	}
	ids := map[key]tidings.ID{}
	given := map[key]string{}
	for _, o := range out {
		given[key{int64(o.Message), o.User}] = o.Call.Key
	}
	err := db.tx(ctx, func(t *tx) error {
		begun = nil
		clear(ids)
		n, err := t.Exec(ctx, "extend-claim", int64(c.Segment.ID), c.Token, lease.Microseconds())
		if err != nil {
			return err
		}
		if n == 0 {
			return tidings.ErrStale
		}
		if err := t.Select(ctx, &begun, "begin-deliveries", outgoingColumns(out), string(c.Segment.Channel)); err != nil {
			return err
		}
		if len(begun) < len(out) {
			if _, err := t.Exec(ctx, "end-unbegun", outgoingColumns(out), string(c.Segment.Channel)); err != nil || len(begun) == 0 {
				return err
			}
		}
		attempts, messages, ns := make([]int64, len(begun)), make([]int64, len(begun)), make([]int64, len(begun))
		users, keys := make([]string, len(begun)), make([]string, len(begun))
		for i, b := range begun {
			id := db.ids.Next()
			ids[key{b.Message, b.User}] = id
			attempts[i], messages[i], users[i], ns[i] = int64(id), b.Message, b.User, b.N
			keys[i] = given[key{b.Message, b.User}]
		}
		_, err = t.Exec(ctx, "insert-attempts", columns(attempts, messages, users, ns, keys), string(c.Segment.Channel), provider, integration)
		return err
	})
	if err != nil {
		return nil, err
	}
	var ready []tidings.Outgoing
	for _, o := range out {
		if id, ok := ids[key{int64(o.Message), o.User}]; ok {
			o.Call.Attempt, o.Attempt = id, o.Attempt+1
			ready = append(ready, o)
		}
	}
	return ready, nil
}

// Settle records what became of attempts, by attempt and not by claim: a late result still settles its own attempt.
func (db *DB) Settle(ctx context.Context, ss []tidings.Settlement) error {
	if len(ss) == 0 {
		return nil
	}
	attempts := ints(ss, func(s tidings.Settlement) int64 { return int64(s.Attempt) })
	budgets := slices.ContainsFunc(ss, func(s tidings.Settlement) bool { return s.Channel == tidings.SMS }) && db.budgets(ctx)
	reasons := strs(ss, func(s tidings.Settlement) string { return string(s.Reason) })
	err := db.tx(ctx, func(t *tx) error {
		// The delivery before the attempt, as everywhere, so that a receipt that comes meanwhile does not deadlock.
		_, err := t.Exec(ctx, "settle-deliveries", columns(attempts,
			strs(ss, func(s tidings.Settlement) string { return string(s.State) }), reasons,
			ints(ss, func(s tidings.Settlement) int64 { return s.RetryAt.Microseconds() })))
		if err != nil {
			return err
		}
		_, err = t.Exec(ctx, "end-attempts", columns(attempts, strs(ss, attemptState), reasons,
			strs(ss, func(s tidings.Settlement) string { return clip(s.Detail) }),
			strs(ss, func(s tidings.Settlement) string { return clip(s.ProviderID) }),
			ints(ss, func(s tidings.Settlement) int64 { return int64(s.Parts) }), ints(ss, passedOn),
			ints(ss, func(s tidings.Settlement) int64 { return s.AskAt.Microseconds() })))
		if err != nil {
			return err
		}
		return t.settleBudget(ctx, budgets, attempts)
	})
	if err != nil {
		return err
	}
	for _, s := range ss {
		if s.State == tidings.UnknownEnd {
			db.metrics.unknown(string(s.Channel), s.Provider)
		}
	}
	return db.dropAddresses(ctx, ss)
}

// dropAddresses forgets addresses that a provider called dead, unless the user has given a new one since the attempt.
func (db *DB) dropAddresses(ctx context.Context, ss []tidings.Settlement) error {
	for _, s := range ss {
		if s.DropAddress {
			if _, err := db.Exec(ctx, "drop-addresses", s.User, string(s.Channel), micros(s.Attempt.Time())); err != nil {
				return err
			}
		}
	}
	return nil
}

// attemptState is the attempt's own outcome: it failed when its delivery is to be tried again.
func attemptState(s tidings.Settlement) string {
	if s.State == tidings.Held || s.State == tidings.Queued {
		return string(tidings.Failed)
	}
	return string(s.State)
}

// passedOn is 1 when another integration takes the delivery at once.
func passedOn(s tidings.Settlement) int64 {
	if s.State == tidings.Queued {
		return 1
	}
	return 0
}

// clip keeps what a provider says from filling the table.
func clip(s string) string { return tidings.Clip(s, 500) }

// Interrupted returns the attempts that a worker left under way on the deliveries of a claimed segment.
func (db *DB) Interrupted(ctx context.Context, c tidings.Claim, out []tidings.Outgoing) ([]tidings.Settlement, error) {
	var rows []struct {
		ID          int64
		Message     int64  `db:"message_id"`
		User        string `db:"user_id"`
		Integration string
		Provider    string
	}
	if err := db.Select(ctx, &rows, "interrupted", outgoingColumns(out), string(c.Segment.Channel)); err != nil {
		return nil, err
	}
	ss := make([]tidings.Settlement, len(rows))
	for i, r := range rows {
		ss[i] = tidings.Settlement{Attempt: tidings.ID(r.ID), Message: tidings.ID(r.Message), User: r.User, Channel: c.Segment.Channel, Integration: r.Integration, Provider: r.Provider}
	}
	return ss, nil
}

// End ends queued deliveries without a call.
func (db *DB) End(ctx context.Context, c tidings.Channel, ds []tidings.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	_, err := db.Exec(ctx, "end-queued", columns(
		ints(ds, func(d tidings.Delivery) int64 { return int64(d.Message) }), strs(ds, func(d tidings.Delivery) string { return d.User }),
		strs(ds, func(d tidings.Delivery) string { return string(d.State) }), strs(ds, func(d tidings.Delivery) string { return string(d.Reason) })), string(c))
	return err
}

// Hold takes queued deliveries off the conveyor for a while, without an attempt. wait says for how long, anew for each, so that
// they do not come back in step.
func (db *DB) Hold(ctx context.Context, c tidings.Channel, out []tidings.Outgoing, why tidings.Reason, wait func() time.Duration) error {
	if len(out) == 0 {
		return nil
	}
	waits := ints(out, func(tidings.Outgoing) int64 { return wait().Microseconds() })
	held := make([]tidings.Delivery, len(out))
	for i, o := range out {
		held[i] = tidings.Delivery{Message: o.Message, User: o.User, Channel: c, State: tidings.Held, Reason: why}
	}
	return db.burst(ctx, db.write, unlessResumed(held, do("hold-queued", append(outgoingColumns(out), waits), string(c), string(why)))...)
}

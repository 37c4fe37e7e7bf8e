package api_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/sql"
)

// dead sends an SMS of shop to u1 down the road as far as the failure of its only attempt.
func (b *bundle) dead() tidings.ID {
	b.t.Helper()
	ctx := context.Background()
	var id tidings.ID
	_, err := b.db.Accept(ctx, tidings.Request{Application: "shop", Messages: []tidings.Message{{Application: "shop", Type: "order.paid", Lane: tidings.Normal,
		Audience: tidings.Audience{Users: []string{"u1"}}, Channels: []tidings.Channel{tidings.SMS}, Data: []byte(`{"order":"1"}`), ExpiresAt: time.Now().Add(time.Hour)}},
		Respond: func(ms []tidings.Message) []byte { id = ms[0].ID; return []byte("{}") }})
	if err != nil {
		b.t.Fatal(err)
	}
	for {
		open, err := b.db.Untouched(ctx, -time.Hour, 100)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(open) == 0 {
			return id
		}
		for _, s := range open {
			if err := step(ctx, b.db, s); err != nil {
				b.t.Fatalf("%s: %v", s.TaskID(), err)
			}
		}
	}
}

// step is a stage in its simplest form.
func step(ctx context.Context, db *sql.DB, s tidings.Segment) error {
	ss := []tidings.Segment{s}
	switch s.Stage {
	case tidings.Acquire:
		ms, err := db.AcquireWork(ctx, ss)
		if err != nil {
			return err
		}
		found, size, err := db.ResolvePage(ctx, ms[0], 100)
		if err != nil {
			return err
		}
		_, err = db.Acquired(ctx, ss, tidings.AcquirePage{Notifications: found, Ended: []tidings.AcquireEnd{{Message: ms[0].ID, Size: size}}})
		return err
	case tidings.Render:
		w, err := db.RenderWork(ctx, ss)
		if err != nil {
			return err
		}
		_, err = db.Rendered(ctx, ss, w.Items, []tidings.Rendered{{Message: w.Items[0].Message, Channel: tidings.SMS, Locale: "zh-CN", Version: 1, Content: tidings.Content{Body: "订单"}, Parts: 1}})
		return err
	case tidings.Route:
		w, err := db.RouteWork(ctx, ss)
		if err != nil {
			return err
		}
		_, err = db.Routed(ctx, ss, []tidings.Delivery{{Message: w.Items[0].Message, User: "u1", Channel: tidings.SMS, State: tidings.Queued, Locale: "zh-CN",
			ExpiresAt: time.Now().Add(time.Hour), Parts: 1}}, tidings.Waiting{})
		return err
	}
	claim, items, err := db.Claim(ctx, s, time.Minute)
	if err != nil {
		return err
	}
	out, err := db.Outgoing(ctx, claim, items)
	if err != nil {
		return err
	}
	begun, err := db.Begin(ctx, claim, time.Minute, "test", "gate", out)
	if err != nil || len(begun) != 1 {
		return errors.Join(err, errors.New("nothing was begun"))
	}
	err = db.Settle(ctx, []tidings.Settlement{{Attempt: begun[0].Call.Attempt, State: tidings.Failed, Reason: tidings.ProviderRefused, Detail: "it says no", User: "u1", Channel: tidings.SMS}})
	return errors.Join(err, db.Finish(ctx, ss, claim.Token))
}

func TestAReplayIsShownMadeOnceAndLookedAt(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		id := b.dead()
		var letters struct{ Data []tidings.DeadLetter }
		decode(t, b.ok(200, "GET", "/v1/dead-letters?state=failed&channel=sms&type=order.paid&reason=provider_refused", b.app, ""), &letters)
		if len(letters.Data) != 1 || letters.Data[0].Message != id || letters.Data[0].Integration != "gate" || letters.Data[0].Detail != "it says no" || letters.Data[0].Parts != 1 {
			t.Fatalf("%+v", letters)
		}
		decode(t, b.ok(200, "GET", "/v1/dead-letters?state=expired", b.app, ""), &letters)
		if len(letters.Data) != 0 {
			t.Errorf("%+v", letters)
		}
		var trace struct{ Data []tidings.DeliveryTrace }
		decode(t, b.ok(200, "GET", "/v1/messages/"+id.String()+"/deliveries", b.app, ""), &trace)
		if len(trace.Data) != 1 || trace.Data[0].Attempts[0].Integration != "gate" {
			t.Errorf("the trace does not name the integration: %+v", trace)
		}
		const dry, real = `{"filter":{"states":["failed"],"since":"2026-01-02T15:04:05Z"},"dry_run":true,"limit":5}`, `{"filter":{"states":["failed"]},"dry_run":false}`
		var plan tidings.ReplayPlan
		decode(t, b.ok(200, "POST", "/v1/replays", b.app, dry), &plan)
		if plan.Count != 1 || plan.Parts != 1 || plan.Channels[tidings.SMS] != 1 || plan.Reasons[tidings.ProviderRefused] != 1 || len(plan.Deliveries) != 1 || plan.More {
			t.Fatalf("%+v", plan)
		}
		decode(t, b.ok(200, "POST", "/v1/replays", b.other, dry), &plan)
		if plan.Count != 0 {
			t.Errorf("another application's: %+v", plan)
		}
		lines := strings.Split(strings.TrimSpace(b.ask("POST", "/v1/replays", b.app, dry, "Accept", "application/x-ndjson").Body.String()), "\n")
		var letter tidings.DeadLetter
		var end struct{ Plan tidings.ReplayPlan }
		if len(lines) != 2 {
			t.Fatalf("%q", lines)
		}
		decode(t, lines[0], &letter)
		decode(t, lines[1], &end)
		if letter.Message != id || letter.State != tidings.Failed || end.Plan.Count != 1 {
			t.Errorf("%+v %+v", letter, end)
		}
		b.refused(422, "POST", "/v1/replays", b.app, `{"filter":{},"dry_run":true}`, "Accept", "application/x-ndjson")
		var made, again, read tidings.Replay
		decode(t, b.ok(202, "POST", "/v1/replays", b.app, real, "Idempotency-Key", "k1"), &made)
		w := b.ask("POST", "/v1/replays", b.app, real, "Idempotency-Key", "k1")
		decode(t, w.Body.String(), &again)
		if made.State != tidings.ReplayRunning || made.MadeBy != "shop" || again.ID != made.ID || w.Header().Get("Idempotent-Replayed") != "true" {
			t.Fatalf("%+v %+v", made, again)
		}
		if p := b.refused(422, "POST", "/v1/replays", b.app, `{"filter":{"states":["expired"]},"dry_run":false}`, "Idempotency-Key", "k1"); len(p.Errors) != 1 || p.Errors[0].Field != "Idempotency-Key" {
			t.Errorf("%+v", p)
		}
		if _, err := b.db.Due(context.Background(), 100); err != nil {
			t.Fatal(err)
		}
		decode(t, b.ok(200, "GET", "/v1/replays/"+made.ID.String(), b.app, ""), &read)
		if read.State != tidings.ReplayDone || read.Replayed != 1 || read.Now[tidings.Queued] != 1 {
			t.Errorf("%+v", read)
		}
		var items struct{ Data []tidings.ReplayedDelivery }
		decode(t, b.ok(200, "GET", "/v1/replays/"+made.ID.String()+"/deliveries", b.app, ""), &items)
		if len(items.Data) != 1 || items.Data[0].State != tidings.Failed || items.Data[0].Now != tidings.Queued || items.Data[0].Attempts != 1 {
			t.Errorf("%+v", items)
		}
		var list struct{ Data []tidings.Replay }
		decode(t, b.ok(200, "GET", "/v1/replays", adminToken, ""), &list)
		if len(list.Data) != 1 || list.Data[0].ID != made.ID {
			t.Errorf("%+v", list)
		}
		b.refused(404, "GET", "/v1/replays/"+made.ID.String(), b.other, "")
		b.refused(404, "POST", "/v1/replays/"+made.ID.String()+"/cancel", b.other, "")
		b.refused(409, "POST", "/v1/replays/"+made.ID.String()+"/cancel", b.app, "")
	})
}

func TestAWrongReplayIsRefusedByField(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for body, field := range map[string]string{
			`{"filter":{"states":["failed"]}}`:                                                                 "dry_run",
			`{"filter":{},"dry_run":true}`:                                                                     "filter.states",
			`{"filter":{"states":["sent"]},"dry_run":true}`:                                                    "filter.states",
			`{"filter":{"states":["failed"],"reasons":["bad_luck"]},"dry_run":true}`:                           "filter.reasons",
			`{"filter":{"states":["failed"],"channels":["fax"]},"dry_run":true}`:                               "filter.channels",
			`{"filter":{"states":["failed"],"since":"2h"},"dry_run":true}`:                                     "filter.since",
			`{"filter":{"states":["failed"],"type":"a b"},"dry_run":true}`:                                     "filter.type",
			`{"filter":{"deliveries":[{"message":"0000000000001","user":"","channel":"sms"}]},"dry_run":true}`: "filter.deliveries",
			`{"filter":{"states":["failed"]},"dry_run":true,"expires_at":"2026-01-02T15:04:05Z"}`:              "expires_at",
			`{"filter":{"states":["failed"]},"dry_run":true,"limit":1001}`:                                     "limit",
		} {
			if p := b.refused(422, "POST", "/v1/replays", b.app, body); !slices.ContainsFunc(p.Errors, func(e tidings.FieldError) bool { return e.Field == field }) {
				t.Errorf("%s: %+v, want %s", body, p, field)
			}
		}
		b.refused(404, "POST", "/v1/replays", b.app, `{"filter":{"deliveries":[{"message":"0000000000001","user":"u1","channel":"sms"}]},"dry_run":true}`)
		for _, query := range []string{"state=sent", "reason=bad_luck", "before=x", "limit=0", "since=2h", "message=x", "state=a%20b"} {
			b.refused(400, "GET", "/v1/dead-letters?"+query, b.app, "")
		}
		var k struct{ Key string }
		decode(t, b.ok(201, "POST", "/v1/applications/pos/keys", adminToken, `{"name":"narrow","scopes":["messages:send","messages:read"],"types":["order.paid"],"channels":["sms"]}`), &k)
		b.refused(403, "POST", "/v1/replays", k.Key, `{"filter":{"states":["failed"]},"dry_run":true}`)
		b.refused(403, "POST", "/v1/replays", k.Key, `{"filter":{"states":["failed"],"type":"order.paid"},"dry_run":true}`)
		b.refused(403, "POST", "/v1/replays", k.Key, `{"filter":{"states":["failed"],"type":"order.paid","channels":["web"]},"dry_run":true}`)
		b.ok(200, "POST", "/v1/replays", k.Key, `{"filter":{"states":["failed"],"type":"order.paid","channels":["sms"]},"dry_run":true}`)
		b.refused(403, "GET", "/v1/replays", k.Key, "")
		b.refused(403, "GET", "/v1/dead-letters", k.Key, "")
		var list struct{ Data []tidings.Replay }
		decode(t, b.ok(200, "GET", "/v1/replays", adminToken, ""), &list)
		if len(list.Data) != 0 {
			t.Errorf("what was refused, and what was only shown, stands in the record: %+v", list)
		}
	})
}

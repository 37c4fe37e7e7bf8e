package handlers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/handlers"
	"tidings/internal/sqltest"
	"tidings/platform"
	"tidings/sql"
)

// prefers sets what a user wants; he does it himself.
func (w *world) prefers(user string, quiet *tidings.QuietHours, rules ...tidings.Preference) {
	w.t.Helper()
	ctx := tidings.WithActor(context.Background(), tidings.UserActor(user, "api"))
	_, err := w.db.ChangePreferences(ctx, user, func(p tidings.Preferences) (tidings.Preferences, error) {
		p.Rules, p.Quiet = rules, quiet
		return p, nil
	})
	must(w.t, err)
}

// rule changes the rules of a type.
func (w *world) rule(name string, change func(*tidings.MessageType)) {
	w.t.Helper()
	typ, err := w.db.Type(context.Background(), "orders", name)
	must(w.t, err)
	typ.Application, typ.Name = "orders", name
	change(&typ)
	must(w.t, w.db.PutType(context.Background(), typ))
}

// fresh forgets what the route stage knows of types, as time does.
func (w *world) fresh() { w.stages["route"] = handlers.Route(w.db) }

// states are those of a message's deliveries: "u00 web": "sent", with the reason behind it.
func (w *world) states(m tidings.Message) map[string]string {
	states := map[string]string{}
	for _, d := range w.trace(m) {
		states[d.User+" "+string(d.Channel)] = string(d.State)
		if d.Reason != tidings.NoReason {
			states[d.User+" "+string(d.Channel)] += " " + string(d.Reason)
		}
	}
	return states
}

func (w *world) wants(m tidings.Message, states map[string]string) {
	w.t.Helper()
	got := w.states(m)
	for k, v := range states {
		if got[k] != v {
			w.t.Errorf("%s: %q, want %q", k, got[k], v)
		}
	}
}

func TestWhatAUserMutedIsNotSentAndStaysInTheHistory(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		ctx := context.Background()
		w.prefers("u00", nil, tidings.Preference{Application: "orders", Type: "refund", Muted: true})
		w.prefers("u01", nil, tidings.Preference{Channel: tidings.SMS, Muted: true})
		w.prefers("u02", nil, tidings.Preference{Application: "orders", Muted: true}, tidings.Preference{Application: "orders", Type: "refund", Channel: tidings.Web})
		w.prefers("u03", nil, tidings.Preference{Application: "elsewhere", Muted: true})
		to := tidings.Audience{Users: []string{"u00", "u01", "u02", "u03", "u04"}}
		m := w.accept(message("refund", to, tidings.Web, tidings.SMS))[0]
		w.run()
		w.wants(m, map[string]string{"u00 web": "suppressed muted", "u00 sms": "suppressed muted", "u01 web": "sent", "u01 sms": "suppressed muted",
			"u02 web": "sent", "u02 sms": "suppressed muted", "u03 web": "sent", "u03 sms": "sent", "u04 web": "sent", "u04 sms": "sent"})
		w.balanced()

		items, _, err := db.Inbox(ctx, "u00", tidings.InboxQuery{})
		must(t, err)
		unread, err := db.Unread(ctx, "u00", nil)
		must(t, err)
		news, _, err := db.Inbox(ctx, "u00", tidings.InboxQuery{Unread: true})
		must(t, err)
		heads, err := db.Heads(ctx, []string{"u00"})
		must(t, err)
		if len(items) != 1 || items[0].Reason != tidings.Muted || items[0].Number != 0 || unread != 0 || len(news) != 0 || heads["u00"] != 0 {
			t.Errorf("%d in the history, %d unread and %d shown as such, head %d", len(items), unread, len(news), heads["u00"])
		}
		for _, d := range w.trace(m) {
			if d.User == "u00" && (len(d.Decisions) == 0 || d.Decisions[len(d.Decisions)-1].Outcome != tidings.Unsaid) {
				t.Errorf("%+v", d.Decisions)
			}
		}

		w.rule("refund", func(t *tidings.MessageType) { t.Mandatory = []tidings.Channel{tidings.SMS} })
		w.fresh()
		m = w.accept(message("refund", to, tidings.Web, tidings.SMS))[0]
		w.run()
		w.wants(m, map[string]string{"u00 web": "suppressed muted", "u00 sms": "sent", "u01 sms": "sent", "u02 sms": "sent"})
		w.balanced()
	})
}

func TestWhatWaitsIsAskedAgainWhenAUserMutesIt(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		m := message("refund", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.Web, tidings.SMS)
		m.SendAt = time.Now().Add(30 * time.Minute)
		m = w.accept(m)[0]
		w.run()
		w.prefers("u00", nil, tidings.Preference{Application: "orders", Channel: tidings.SMS, Muted: true})
		w.wants(m, map[string]string{"u00 web": "held send_at", "u00 sms": "suppressed muted", "u01 web": "held send_at", "u01 sms": "held send_at"})
		for _, d := range w.trace(m) {
			if last := d.Decisions[len(d.Decisions)-1]; d.Reason == tidings.Muted && d.Decisions[2].Outcome == tidings.Stops || d.Reason == tidings.Muted && last.Outcome != tidings.Unsaid {
				t.Errorf("%+v", d.Decisions)
			}
		}
		if len(w.sender.calls) > 0 {
			t.Errorf("%d calls", len(w.sender.calls))
		}
	})
}

func TestAUsersQuietHoursHoldWhatIsNotUrgent(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		now := time.Now().UTC()
		quiet := &tidings.QuietHours{From: now.Add(-time.Hour).Format("15:04"), To: now.Add(30 * time.Minute).Format("15:04"), Timezone: "UTC",
			Channels: []tidings.Channel{tidings.Web, tidings.SMS}}
		w.prefers("u00", quiet)
		m := w.accept(message("refund", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.Web, tidings.SMS))[0]
		w.run()
		w.wants(m, map[string]string{"u00 web": "held quiet_hours", "u00 sms": "held quiet_hours", "u01 web": "sent", "u01 sms": "sent"})
		w.rule("refund", func(t *tidings.MessageType) { t.Lane = tidings.Critical })
		w.fresh()
		m = w.accept(message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS))[0]
		w.run()
		w.wants(m, map[string]string{"u00 web": "sent", "u00 sms": "sent"})
	})
}

// unlost is balanced while deliveries are still on their way.
func (w *world) unlost() {
	w.t.Helper()
	b, err := w.db.Balance(context.Background(), time.Minute)
	must(w.t, err)
	if len(b.Faults) > 0 {
		w.t.Fatalf("the balance: %+v", b)
	}
}

// preview is what a preview says of each user's first channel.
func (w *world) preview(m tidings.Message) (map[string]string, error) {
	m.Application = "orders"
	v, err := platform.New(platform.Config{Store: w.db, Now: time.Now}).Preview(context.Background(), m)
	states := map[string]string{}
	for _, r := range v.Recipients {
		states[r.User] = string(r.Deliveries[0].State)
		if r.Deliveries[0].Reason != tidings.NoReason {
			states[r.User] += " " + string(r.Deliveries[0].Reason)
		}
	}
	return states, err
}

func TestAnUnsubscribeLinkIsPutInWhenItIsSent(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		db.LinkBy(func(s tidings.Subscription) string {
			return "https://t.example/u/" + s.User + "." + s.Application + "." + s.Type + "." + string(s.Channel)
		})
		w.publish("ad", []tidings.Channel{tidings.Web, tidings.SMS}, map[string]string{"zh-CN": "{{ order }} 退订 {{ unsubscribe_url }}"})
		m := w.accept(message("ad", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.Web, tidings.SMS), message("refund", tidings.Audience{Users: []string{"u02"}}, tidings.SMS))[0]
		w.run()
		if len(w.sender.calls) != 3 {
			t.Fatalf("%d calls, %v", len(w.sender.calls), w.states(m))
		}
		for _, c := range w.sender.calls {
			want, link := "A-1 退订 https://t.example/u/"+c.User+".orders.ad.sms", "https://t.example/u/"+c.User+".orders.ad.sms"
			if c.User == "u02" {
				want, link = "退款 A-1", ""
			}
			if c.User != "u02" && c.Content.Body != want || c.Unsubscribe != link {
				t.Errorf("%+v", c)
			}
		}
		items, _, err := db.Inbox(context.Background(), "u00", tidings.InboxQuery{})
		must(t, err)
		if len(items) != 1 || items[0].Body != "A-1 退订 " && items[0].Body != "A-1 退订" {
			t.Errorf("%+v", items)
		}
		sms := message("ad", tidings.Audience{Users: []string{"u03"}}, tidings.SMS)
		w.accept(sms)
		w.run()
		items, _, err = db.Inbox(context.Background(), "u03", tidings.InboxQuery{})
		must(t, err)
		if len(items) != 1 || items[0].Body != "A-1 退订 " {
			t.Errorf("the history shows whose link it was: %+v", items)
		}
	})
}

func TestChangesOfPreferencesAtOnceLoseNothing(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		ctx := tidings.WithActor(context.Background(), tidings.UserActor("u00", "link"))
		var wg sync.WaitGroup
		errs := make([]error, 12)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = db.ChangePreferences(ctx, "u00", func(p tidings.Preferences) (tidings.Preferences, error) {
					return p.Mute("orders", fmt.Sprintf("type%d", i), tidings.SMS, true), nil
				})
			})
		}
		wg.Wait()
		must(w.t, errs...)
		p, _, err := db.UserPreferences(ctx, "u00")
		must(t, err)
		if len(p.Rules) != len(errs) {
			t.Errorf("%d rules of %d", len(p.Rules), len(errs))
		}
		if _, err := db.ChangePreferences(ctx, "nobody", func(p tidings.Preferences) (tidings.Preferences, error) { return p, nil }); tidings.CodeOf(err) != tidings.NotFound {
			t.Errorf("one who is not there: %v", err)
		}
	})
}

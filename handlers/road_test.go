package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/channels/switchboard"
	"tidings/handlers"
	"tidings/internal/sqltest"
	"tidings/sql"
	"tidings/tasks"
)

// world is a directory, an application with its types, and the four stages over a real store. The conveyor is a slice.
type world struct {
	t       testing.TB
	db      *sql.DB
	streams *streams
	sender  *sender
	board   *switchboard.Board
	stages  map[string]tasks.Stage
	queue   []tidings.Segment
	stopped time.Time // when the database's clock was stopped
	mu      sync.Mutex
}

// streams stands for comet: it keeps what was appended, and can fail.
type streams struct {
	mu      sync.Mutex
	numbers map[string][]int64
	renews  int // entries upon which a page reads its list anew
	fail    error
}

func (s *streams) Append(_ context.Context, entries []tidings.UserEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, e := range entries {
		s.numbers[e.User] = append(s.numbers[e.User], e.Entry.Number)
		if e.Entry.Replaces {
			s.renews++
		}
	}
	return nil
}

// sender is the far side of a provider.
type sender struct {
	mu    sync.Mutex
	calls []tidings.Call
	reply func(tidings.Call) error
}

func (*sender) Provider() string { return "test" }
func (s *sender) Send(_ context.Context, c tidings.Call) (tidings.Accepted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	if s.reply != nil {
		if err := s.reply(c); err != nil {
			return tidings.Accepted{}, err
		}
	}
	return tidings.Accepted{ProviderID: "p", Segments: 1}, nil
}

func (s *sender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, db *sql.DB) *world {
	ctx := context.Background()
	w := &world{t: t, db: db, streams: &streams{numbers: map[string][]int64{}}, sender: &sender{}}
	w.board = boardOf(t, w.sender)
	must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "acme", Name: "Acme"}}),
		db.PutStores(ctx, []tidings.Store{{ID: "acme-1", Merchant: "acme", Name: "One"}, {ID: "acme-2", Merchant: "acme", Name: "Two"}}))
	var users []tidings.User
	for i := range 12 {
		u := tidings.User{ID: fmt.Sprintf("u%02d", i), Name: "User", Locale: []string{"zh-CN", "en-US", "fr"}[i%3]}
		switch i % 3 {
		case 0:
			u.Memberships = []tidings.Membership{{Merchant: "acme", Role: "owner"}, {Store: "acme-1", Role: "clerk"}}
		case 1:
			u.Memberships = []tidings.Membership{{Store: "acme-1", Role: "manager"}}
		default:
			u.Memberships = []tidings.Membership{{Store: "acme-2", Role: "clerk"}}
		}
		users = append(users, u)
	}
	must(t, db.PutUsers(ctx, users))
	for i := range 6 {
		must(t, db.PutAddresses(ctx, fmt.Sprintf("u%02d", i), []tidings.Address{{Channel: tidings.SMS, Value: fmt.Sprintf("+86138001380%02d", i)}}))
	}
	must(t, db.CreateApplication(ctx, tidings.Application{ID: "orders", Name: "Orders", State: tidings.ApplicationActive}))
	w.publish("refund", []tidings.Channel{tidings.Web, tidings.SMS}, map[string]string{"zh-CN": "退款 {{ order }}", "en-US": "Refund {{ order }}"})
	w.publish("web", []tidings.Channel{tidings.Web}, map[string]string{"zh-CN": "{{ order }}"})
	w.stages = map[string]tasks.Stage{
		"acquire": handlers.Acquire(db, time.Now), "render": handlers.Render(db, time.Now), "route": handlers.Route(db),
		"deliver-web": handlers.DeliverWeb(db, w.streams), "deliver-sms": handlers.Deliver(db, w.board, time.Minute, slog.New(slog.DiscardHandler)),
	}
	return w
}

func (w *world) publish(name string, channels []tidings.Channel, bodies map[string]string) {
	w.t.Helper()
	ctx := context.Background()
	must(w.t, w.db.PutType(ctx, tidings.MessageType{Application: "orders", Name: name, Lane: tidings.Normal, Channels: channels,
		Variables: []tidings.Variable{{Name: "order", Type: tidings.VariableString}}}))
	for _, c := range channels {
		for locale, body := range bodies {
			made, err := w.db.CreateTemplate(ctx, tidings.Template{Application: "orders", Type: name, Channel: c, Locale: locale, Title: "T", Body: body})
			must(w.t, err)
			_, err = w.db.PublishTemplate(ctx, "orders", name, c, locale, made.Version)
			must(w.t, err)
		}
	}
}

func message(typ string, a tidings.Audience, channels ...tidings.Channel) tidings.Message {
	return tidings.Message{Application: "orders", Type: typ, Lane: tidings.Normal, Audience: a, Channels: channels,
		Data: json.RawMessage(`{"order":"A-1"}`), ExpiresAt: time.Now().Add(time.Hour)}
}

func (w *world) accept(ms ...tidings.Message) []tidings.Message {
	w.t.Helper()
	var accepted []tidings.Message
	_, err := w.db.Accept(context.Background(), tidings.Request{Application: "orders", Messages: ms,
		Respond: func(ms []tidings.Message) []byte { accepted = append(accepted[:0], ms...); return []byte("{}") }})
	must(w.t, err)
	return accepted
}

func name(s tidings.Segment) string {
	if s.Stage == tidings.Deliver {
		return "deliver-" + string(s.Channel)
	}
	return string(s.Stage)
}

// next takes a segment off the conveyor, waiting for the first that an acceptance puts there.
func (w *world) next() (tidings.Segment, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return tidings.Segment{}, false
	}
	s := w.queue[0]
	w.queue = w.queue[1:]
	return s, true
}

// run runs what is on the conveyor until nothing is left, each segment twice, as a conveyor may.
func (w *world) run() {
	w.t.Helper()
	w.collect()
	for {
		s, ok := w.next()
		if !ok {
			return
		}
		following, err := w.stages[name(s)].Run(context.Background(), s)
		must(w.t, err)
		if again, err := w.stages[name(s)].Run(context.Background(), s); !errors.Is(err, tidings.ErrStale) || len(again) > 0 {
			w.t.Fatalf("%s, run again: %v, %v", s.TaskID(), again, err)
		}
		w.queue = append(w.queue, following...)
	}
}

// collect takes from SQL what is left to do: no relay runs here.
func (w *world) collect() {
	w.t.Helper()
	open, err := w.db.Untouched(context.Background(), -time.Hour, 1000)
	must(w.t, err)
	w.mu.Lock()
	w.queue = open
	w.mu.Unlock()
}

func (w *world) balanced() tidings.Balance {
	w.t.Helper()
	b, err := w.db.Balance(context.Background(), time.Minute)
	must(w.t, err)
	if len(b.Faults) > 0 || b.Open > 0 {
		w.t.Fatalf("the balance: %+v", b)
	}
	return b
}

func TestAMessageReachesEveryoneOnceOnEachChannel(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.accept(message("refund", tidings.Audience{Merchants: []string{"acme"}}, tidings.Web, tidings.SMS),
			message("web", tidings.Audience{Users: []string{"u00", "u00", "u03", "nobody"}}, tidings.Web))
		w.run()
		b := w.balanced()
		if b.Notifications != 14 || b.Deliveries[tidings.Sent] != 12+6+2 || b.Deliveries[tidings.Suppressed] != 6 {
			t.Fatalf("%+v", b)
		}
		if len(w.sender.calls) != 6 {
			t.Fatalf("%d calls", len(w.sender.calls))
		}
		for _, c := range w.sender.calls {
			want := map[string]string{"u00": "退款 A-1", "u01": "Refund A-1", "u02": "退款 A-1"}[c.User]
			if want != "" && c.Content.Body != want {
				t.Errorf("%s got %q", c.User, c.Content.Body)
			}
		}
		for u, numbers := range w.streams.numbers {
			for i, n := range numbers {
				if n != int64(i+1) {
					t.Errorf("%s: numbers %v", u, numbers)
				}
			}
		}
		if got := w.streams.numbers["u00"]; len(got) != 2 {
			t.Errorf("u00 has %v", got)
		}
	})
}

func TestAnAudienceIsNarrowedByScopeAndRole(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		for _, c := range []struct {
			audience tidings.Audience
			want     int
		}{
			{tidings.Audience{Merchants: []string{"acme"}, Scope: tidings.ScopeMerchant}, 4},
			{tidings.Audience{Merchants: []string{"acme"}, Scope: tidings.ScopeStores}, 12},
			{tidings.Audience{Stores: []string{"acme-1"}}, 8},
			{tidings.Audience{Stores: []string{"acme-1"}, Roles: []string{"manager"}}, 4},
			{tidings.Audience{Merchants: []string{"acme"}, Roles: []string{"clerk", "manager"}}, 12},
			{tidings.Audience{Everyone: true}, 12},
			{tidings.Audience{Everyone: true, Roles: []string{"owner"}}, 4},
			{tidings.Audience{Users: []string{"u00", "u01"}, Roles: []string{"owner"}}, 1},
			{tidings.Audience{Merchants: []string{"other"}}, 0},
			{tidings.Audience{Users: []string{"u02"}, Stores: []string{"acme-1"}}, 9},
		} {
			m := w.accept(message("web", c.audience, tidings.Web))[0]
			w.run()
			status, err := db.Message(context.Background(), "orders", m.ID)
			must(t, err)
			if status.Users != c.want {
				t.Errorf("%+v reached %d, want %d", c.audience, status.Users, c.want)
			}
		}
		w.balanced()
	})
}

func TestAWebSegmentThatDiedAfterItsCommitAppendsWhatItNumbered(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.accept(message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web))
		w.streams.fail = errors.New("redis is away")
		w.collect()
		var last tidings.Segment
		for s, ok := w.next(); ok; s, ok = w.next() {
			following, err := w.stages[name(s)].Run(context.Background(), s)
			if s.Stage != tidings.Deliver {
				must(t, err)
			} else if err == nil {
				t.Fatal("a failed append passed for done")
			}
			w.queue, last = append(w.queue, following...), s
		}
		w.streams.fail = nil
		raised, err := db.RaiseTry(context.Background(), []tidings.Segment{last})
		must(t, err)
		if _, err := w.stages["deliver-web"].Run(context.Background(), last); !errors.Is(err, tidings.ErrStale) {
			t.Fatalf("a task of an older try ran: %v", err)
		}
		_, err = w.stages["deliver-web"].Run(context.Background(), raised[0])
		must(t, err)
		if got := w.streams.numbers["u00"]; len(got) != 1 || got[0] != 1 {
			t.Fatalf("%v", got)
		}
		w.balanced()
	})
}

func TestWhatNobodyKnowsIsNeverSentAgainUnlessItsTypeSaysSo(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.sender.reply = func(tidings.Call) error {
			return &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: errors.New("eof")}
		}
		w.accept(message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.SMS))
		w.run()
		due, err := db.Due(context.Background(), 100)
		must(t, err)
		b := w.balanced()
		if len(due) != 0 || len(w.sender.calls) != 1 || b.Deliveries[tidings.UnknownEnd] != 1 {
			t.Fatalf("%d due, %d calls, %+v", len(due), len(w.sender.calls), b)
		}
		must(t, db.Receive(context.Background(), tidings.Receipt{Attempt: w.sender.calls[0].Attempt, Kind: tidings.ReceiptDelivered}),
			db.Receive(context.Background(), tidings.Receipt{Attempt: w.sender.calls[0].Attempt, Kind: tidings.ReceiptAccepted}))
		if b := w.balanced(); b.Deliveries[tidings.Delivered] != 1 {
			t.Fatalf("a receipt settles what is unknown: %+v", b)
		}
	})
}

func TestABusyProviderIsTriedAgainAndARefusalIsNot(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.sender.reply = func(c tidings.Call) error {
			if c.User == "u01" {
				return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true, Err: errors.New("no such number")}
			}
			if len(w.sender.calls) < 3 {
				return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: time.Microsecond, Err: errors.New("busy")}
			}
			return nil
		}
		m := w.accept(message("refund", tidings.Audience{Users: []string{"u00", "u01"}}, tidings.SMS))[0]
		w.run()
		b, err := db.Balance(context.Background(), time.Minute)
		must(t, err)
		if b.Deliveries[tidings.Held] != 1 || b.Deliveries[tidings.Failed] != 1 {
			t.Fatalf("%+v", b)
		}
		trace, _, err := db.Deliveries(context.Background(), "orders", m.ID, "", 10)
		must(t, err)
		if len(trace) != 2 || trace[0].Attempts[0].Reason != tidings.ProviderBusy || trace[1].Reason != tidings.AddressRefused {
			t.Fatalf("%+v", trace)
		}
	})
}

func TestATemplateThatFailsFailsItsMessageAlone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.publish("broken", []tidings.Channel{tidings.Web}, map[string]string{"zh-CN": "{{ 1 | divided_by: 0 }}"})
		must(t, db.PutType(context.Background(), tidings.MessageType{Application: "orders", Name: "bare", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web}}))
		all := tidings.Audience{Users: []string{"u00", "u01"}}
		w.accept(message("broken", all, tidings.Web), message("web", all, tidings.Web), message("bare", all, tidings.Web))
		w.run()
		b := w.balanced()
		if b.Deliveries[tidings.Failed] != 4 || b.Deliveries[tidings.Sent] != 2 {
			t.Fatalf("%+v", b)
		}
	})
}

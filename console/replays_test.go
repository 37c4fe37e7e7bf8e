package console_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
)

// dead writes a delivery of shop to u1 that failed.
func (s *site) dead() tidings.DeliveryKey {
	s.t.Helper()
	ctx := s.t.Context()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	var id tidings.ID
	_, err := s.db.Accept(ctx, tidings.Request{Application: "shop", Messages: []tidings.Message{{Application: "shop", Type: "order.paid", Lane: tidings.Normal, Audience: tidings.Audience{Users: []string{"u1"}},
		Channels: []tidings.Channel{tidings.Web}, Data: []byte(`{"order":"1"}`), ExpiresAt: time.Now().Add(time.Hour)}}, Respond: func(ms []tidings.Message) []byte { id = ms[0].ID; return []byte("{}") }})
	must(err)
	for range 3 {
		open, err := s.db.Untouched(ctx, -time.Hour, 10)
		must(err)
		open = slices.DeleteFunc(open, func(g tidings.Segment) bool { return g.Stage == tidings.Deliver }) // a replay's
		item := []tidings.Item{{Message: id, User: "u1", Locale: "zh-CN"}}
		switch open[0].Stage {
		case tidings.Acquire:
			_, err = s.db.Acquired(ctx, open, tidings.AcquirePage{Notifications: []tidings.Notification{{Message: id, User: "u1", Locale: "zh-CN", Via: []string{"u"}}}, Ended: []tidings.AcquireEnd{{Message: id, Size: 1}}})
		case tidings.Render:
			_, err = s.db.Rendered(ctx, open, item, []tidings.Rendered{{Message: id, Channel: tidings.Web, Locale: "zh-CN", Version: 1, Content: tidings.Content{Body: "paid"}}})
		default:
			_, err = s.db.Routed(ctx, open, []tidings.Delivery{{Message: id, User: "u1", Channel: tidings.Web, State: tidings.Failed, Reason: tidings.UserGone, Locale: "zh-CN", ExpiresAt: time.Now().Add(time.Hour)}}, tidings.Waiting{})
		}
		must(err)
	}
	return tidings.DeliveryKey{Message: id, User: "u1", Channel: tidings.Web}
}

// hidden are the fields of a form that people do not see.
var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

func TestDeadLettersAreSentAgainOneByOneAndByFilter(t *testing.T) {
	s := newSite(t)
	first := s.dead()
	list := s.get("operator", "/console/dead-letters?application=shop&state=failed&hours=1").Body.String()
	if !strings.Contains(list, first.String()) || !strings.Contains(list, "the user has left the directory") {
		t.Fatalf("the list: %s", list)
	}
	for who, may := range map[string]bool{"operator": true, "dev": true, "viewer": false, "approver": false} {
		w := s.get(who, "/console/dead-letters")
		if w.Code != 200 || strings.Contains(w.Body.String(), `action="/console/replays"`) != may {
			t.Errorf("%s: %d, and may he: %t", who, w.Code, may)
		}
	}
	if w := s.get("dev", "/console/dead-letters?application=pos"); w.Code != 404 {
		t.Errorf("another application's: %d", w.Code)
	}
	for _, wrong := range []string{"state=sent", "hours=x", "before=x", "channel=fax", "since=x", "delivery=x"} {
		if w := s.get("operator", "/console/dead-letters?"+wrong); w.Code != 400 {
			t.Errorf("%s: %d", wrong, w.Code)
		}
	}

	// By filter: the plan, and its form as it stands, sent twice.
	plan := s.get("dev", "/console/replays/new?state=failed&expire=2").Body.String()
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(plan[strings.Index(plan, `method="post" action="/console/replays"`):], -1) {
		form.Add(m[1], m[2])
	}
	if form.Get("state") != "failed" || form.Get("expire") != "2" || form.Get("key") == "" {
		t.Fatalf("the plan: %v %s", form, plan)
	}
	made := s.post("dev", "/console/replays", form)
	if again := s.post("dev", "/console/replays", form); made.Code != 303 || again.Header().Get("Location") != made.Header().Get("Location") {
		t.Fatalf("made: %d %v, and again: %v", made.Code, made.Header(), again.Header())
	}
	if _, err := s.db.Due(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	page, _, _ := strings.Cut(made.Header().Get("Location"), "?")
	for path, want := range map[string]string{page: "queued", "/console/replays": page, "/console/messages/" + first.Message.String(): "queued"} {
		if w := s.get("viewer-shop", path); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := s.post("dev", page+"/cancel", nil); w.Code != 409 {
		t.Errorf("canceled when it was done: %d", w.Code)
	}

	// One by one.
	second := s.dead()
	w := s.post("operator", "/console/replays", url.Values{"delivery": {second.String()}, "state": {"failed"}})
	if _, err := s.db.Due(t.Context(), 100); err != nil || w.Code != 303 {
		t.Fatalf("%v %d", err, w.Code)
	}
	rs, _, err := s.db.Replays(t.Context(), "", tidings.PageQuery{Limit: 10})
	if err != nil || len(rs) != 2 || rs[0].MadeBy != "operator" || rs[0].Replayed != 1 || rs[1].MadeBy != "dev" || rs[1].Application != "shop" || rs[1].ExpiresAt.IsZero() {
		t.Errorf("%+v %v", rs, err)
	}
}

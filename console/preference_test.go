package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tidings"
	"tidings/auth"
)

func (s *site) link(user, typ string, c tidings.Channel) string {
	return "/u/" + auth.NewLinks([]byte("a master secret of at least 32 characters")).Token(tidings.Subscription{User: user, Application: "shop", Type: typ, Channel: c})
}

func (s *site) mutes(user, typ string, c tidings.Channel) bool {
	s.t.Helper()
	p, _, err := s.db.UserPreferences(s.t.Context(), user)
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Mutes("shop", typ, c)
}

func TestAnUnsubscribeLinkShowsOnGETAndMutesOnPOST(t *testing.T) {
	s := newSite(t)
	link := s.link("u1", "order.paid", tidings.SMS)
	for _, header := range []map[string]string{{"Accept-Language": "zh"}, {"Accept-Language": "en"}} {
		w := s.do("GET", link, "", nil, header)
		page := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(page, "The shop") || strings.Contains(page, "u1") || strings.Contains(page, "Ann") {
			t.Fatalf("%d: %s", w.Code, page)
		}
		if zh := strings.Contains(page, "退订"); zh != (header["Accept-Language"] == "zh") {
			t.Errorf("in the wrong language: %s", page)
		}
	}
	if s.mutes("u1", "order.paid", tidings.SMS) {
		t.Fatal("a look at the link mutes")
	}
	// As a mail server posts it (RFC 8058).
	w := s.do("POST", link, "", url.Values{"List-Unsubscribe": {"One-Click"}}, map[string]string{"Sec-Fetch-Site": "cross-site"})
	if w.Code != http.StatusOK || !s.mutes("u1", "order.paid", tidings.SMS) || s.mutes("u1", "order.paid", tidings.Web) {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	if page := s.do("GET", link, "", nil, nil).Body.String(); !strings.Contains(page, "no longer receive") {
		t.Error(page)
	}
	if page := s.get("operator", "/console/directory/users/u1").Body.String(); !strings.Contains(page, "order.paid") || !strings.Contains(page, "muted") {
		t.Error(page)
	}
	if w := s.do("POST", link, "", url.Values{"undo": {"1"}}, nil); w.Code != http.StatusOK || s.mutes("u1", "order.paid", tidings.SMS) {
		t.Errorf("%d: it is still muted", w.Code)
	}

	// What is wrong looks the same, whatever it is.
	wrong := s.do("GET", "/u/forged", "", nil, nil).Body.String()
	for _, other := range []string{s.link("nobody", "order.paid", tidings.SMS), s.link("u1", "no.such", tidings.SMS), link + "A", link[:len(link)-2]} {
		for _, method := range []string{"GET", "POST"} {
			if w := s.do(method, other, "", url.Values{}, nil); w.Code != http.StatusNotFound || w.Body.String() != wrong {
				t.Errorf("%s %s: %d %s", method, other, w.Code, w.Body)
			}
		}
	}
	if w := s.do("GET", link, "", nil, nil); w.Code != http.StatusOK {
		t.Errorf("%d after a few wrong ones", w.Code)
	}
}

func TestWhatIsMandatoryCannotBeUnsubscribed(t *testing.T) {
	s := newSite(t)
	typ, err := s.db.Type(t.Context(), "shop", "order.paid")
	if err != nil {
		t.Fatal(err)
	}
	typ.Mandatory = []tidings.Channel{tidings.SMS}
	if err := s.db.PutType(t.Context(), typ); err != nil {
		t.Fatal(err)
	}
	w := s.do("POST", s.link("u1", "order.paid", tidings.SMS), "", url.Values{}, map[string]string{"Accept-Language": "en"})
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "cannot be turned off") || s.mutes("u1", "order.paid", tidings.SMS) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestWhoTriesLinksIsStopped(t *testing.T) {
	s := newSite(t)
	for n := range 200 {
		if w := s.do("GET", "/u/guess", "", nil, nil); w.Code == http.StatusTooManyRequests {
			if n < 20 || w.Header().Get("Retry-After") == "" {
				t.Errorf("after %d, %v", n, w.Header())
			}
			return
		}
	}
	t.Error("nobody is stopped")
}

func TestTheTypesFormKeepsWhatUsersAreSpared(t *testing.T) {
	s := newSite(t)
	form := url.Values{"lane": {"normal"}, "channels": {"web", "sms"}, "title": {"Paid orders"}, "mandatory": {"web"}, "caps": {"sms=3/24h web=10/1h"},
		"dedup": {"10"}, "dedup.key": {"{{ order }}"}, "replace": {"1"}, "variable.name": {"order"}, "variable.type": {"string"}, "variable.example": {"A-1"}}
	if w := s.post("dev", "/console/applications/shop/types/order.paid", form); w.Code != http.StatusSeeOther {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	typ, err := s.db.Type(t.Context(), "shop", "order.paid")
	if err != nil || typ.Title != "Paid orders" || len(typ.Mandatory) != 1 || len(typ.Caps) != 2 || typ.Caps[0].Window != 24*3600 || typ.Dedup == nil ||
		typ.Dedup.Window != 600 || typ.Dedup.Key != "{{ order }}" || !typ.Replace {
		t.Fatalf("%+v %v", typ, err)
	}
	page := s.get("dev", "/console/applications/shop/types/order.paid").Body.String()
	for _, shown := range []string{"Paid orders", "sms=3/24h web=10/1h", "{{ order }}"} {
		if !strings.Contains(page, shown) {
			t.Errorf("%s is not shown", shown)
		}
	}
	form.Set("caps", "sms=3")
	form.Set("dedup.key", "{{ order")
	if w := s.post("dev", "/console/applications/shop/types/order.paid", form); w.Code < 400 || w.Code > 499 {
		t.Errorf("%d", w.Code)
	}
	if w := s.do("GET", "/inbox/preferences?lang=zh", "", nil, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "接收设置") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

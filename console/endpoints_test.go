package console_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"tidings"
)

func TestAnEndpointIsMadeTestedRotatedAndItsSecretShownOnce(t *testing.T) {
	s := newSite(t)
	const page = "/console/applications/shop/endpoints"
	secret := regexp.MustCompile(`whsec_[A-Za-z0-9+/=&#;]+`)
	form := url.Values{"url": {"https://shop.example/hook"}, "name": {"production"}, "events": {"delivery.failed", "notification.read"}}
	w := s.post("dev", page, form)
	if w.Code != 201 || !secret.MatchString(w.Body.String()) {
		t.Fatalf("made: %d %s", w.Code, w.Body)
	}
	for _, wrong := range []url.Values{{"url": {"http://shop.example/"}, "events": {"delivery.sent"}}, {"url": {"https://shop.example/"}}, {"url": {"https://shop.example/"}, "events": {"delivery.held"}}} {
		if w := s.post("dev", page, wrong); w.Code != 400 || !strings.Contains(w.Body.String(), wrong.Get("url")) {
			t.Errorf("%v: %d", wrong, w.Code)
		}
	}
	found, err := s.db.Endpoints(t.Context(), "shop")
	if err != nil || len(found) != 1 || found[0].URL != form.Get("url") || len(found[0].Events) != 2 {
		t.Fatalf("%+v %v", found, err)
	}
	one := page + "/" + found[0].ID.String()
	if w := s.post("dev", one+"/test", nil); w.Code != 303 {
		t.Fatalf("tested: %d", w.Code)
	}
	form.Set("name", "staging")
	if w := s.post("dev", one, form); w.Code != 303 {
		t.Errorf("changed: %d", w.Code)
	}
	for _, who := range []string{"admin", "operator", "dev"} {
		body := s.get(who, page).Body.String()
		if secret.MatchString(body) || !strings.Contains(body, "staging") || !strings.Contains(body, "test") {
			t.Errorf("%s sees %s", who, body)
		}
	}
	if w := s.post("dev", one+"/rotate", nil); w.Code != 201 || !secret.MatchString(w.Body.String()) || !strings.Contains(w.Body.String(), "The old secret signs until") {
		t.Errorf("rotated: %d", w.Code)
	}
	if w := s.post("operator", one+"/disable", nil); w.Code != 403 {
		t.Errorf("disabled by an operator: %d", w.Code)
	}
	for verb, state := range map[string]tidings.EndpointState{"disable": tidings.EndpointDisabled, "enable": tidings.EndpointActive} {
		if w := s.post("dev", one+"/"+verb, nil); w.Code != 303 {
			t.Errorf("%s: %d", verb, w.Code)
		}
		if e, err := s.db.Endpoint(t.Context(), "shop", found[0].ID); err != nil || e.State != state {
			t.Errorf("%s: %+v %v", verb, e, err)
		}
	}
	if w := s.post("dev", one+"/enable", nil); w.Code != 303 {
		t.Errorf("enabled: %d", w.Code)
	}
	if w := s.post("dev", one+"/replay", url.Values{"hours": {"6"}}); w.Code != 303 {
		t.Errorf("replayed: %d", w.Code)
	}
	if w := s.post("dev", one+"/delete", nil); w.Code != 303 || strings.Contains(s.get("dev", page).Body.String(), "staging") {
		t.Errorf("removed: %d", w.Code)
	}
}

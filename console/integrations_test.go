package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestAnIntegrationIsMadeChangedAndItsSecretNeverShown(t *testing.T) {
	s := newSite(t)
	form := url.Values{"id": {"gate"}, "provider": {"test"}, "order": {"3"}, "weight": {"2"}, "set.user": {"shop"}, "set.password": {"marker-1"}}
	if w := s.post("admin", "/console/integrations/new", form); w.Code != 303 || !strings.Contains(w.Header().Get("Location"), "/console/integrations/gate") {
		t.Fatalf("made: %d %s", w.Code, w.Body)
	}
	if w := s.post("admin", "/console/integrations/new", form); w.Code != 400 {
		t.Errorf("made a second time: %d", w.Code)
	}
	form = url.Values{"order": {"1"}, "set.user": {"other"}, "set.password": {""}, "rate": {"2.5"}}
	if w := s.post("admin", "/console/integrations/gate", form); w.Code != 303 {
		t.Fatalf("changed: %d %s", w.Code, w.Body)
	}
	form.Set("order", "first")
	if w := s.post("admin", "/console/integrations/gate", form); w.Code != 400 {
		t.Errorf("a wrong order: %d", w.Code)
	}
	_, all, err := s.db.Configured(t.Context(), 0)
	if err != nil || len(all) != 1 || all[0].Order != 1 || all[0].Rate != 2.5 || all[0].Values["password"] != "marker-1" || all[0].Values["user"] != "other" {
		t.Errorf("%+v %v", all, err)
	}
	if err := s.db.RecordHealth(t.Context(), []tidings.IntegrationHealth{{Integration: "gate", Worker: "w", Minute: time.Now(), Breaker: tidings.BreakerOpen,
		Calls: 4, Accepted: 1, P99: 777, Error: "connection refused"}}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/console/health", "/console/integrations/gate", "/console/integrations/env", "/console/integrations/new?provider=test"} {
		for _, who := range []string{"admin", "viewer"} {
			page := s.get(who, path).Body.String()
			if strings.Contains(page, "marker") {
				t.Errorf("%s shows %s a secret", path, who)
			}
			if strings.Contains(path, "health") && (!strings.Contains(page, "25.0 %") || !strings.Contains(page, "777 ms") || !strings.Contains(page, "connection refused")) {
				t.Errorf("the health of gate is not on %s: %s", path, page)
			}
		}
	}
	if w := s.post("operator", "/console/integrations/gate/pause", nil); w.Code != 303 {
		t.Errorf("paused by an operator: %d", w.Code)
	}
	if w := s.post("operator", "/console/integrations/gate", form); w.Code != 403 {
		t.Errorf("changed by an operator: %d", w.Code)
	}
	if i, err := s.db.Integration(t.Context(), "gate"); err != nil || i.State != tidings.IntegrationPaused {
		t.Errorf("%+v %v", i, err)
	}
	if w := s.post("admin", "/console/integrations/gate/delete", nil); w.Code != 303 {
		t.Errorf("removed: %d", w.Code)
	}
}

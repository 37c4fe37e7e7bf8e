package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tidings"
	"tidings/api"
	"tidings/auth"
	"tidings/middleware"
)

// reporting is a provider "test" with the integration "gate". Its reports are lines: an attempt's id, or # and the provider's own.
type reporting struct{}

func (reporting) VerifyAttempt(id tidings.ID, sig string) bool {
	return auth.VerifyReceipt([]byte(master), id, sig)
}

func (reporting) VerifyIntegration(integration, key string) bool {
	return auth.VerifyReports([]byte(master), integration, key)
}

func (r reporting) Reporter(integration, provider string) (tidings.Reporter, bool) {
	return r, integration == "gate" && provider == "test"
}

func (reporting) Provider() string { return "test" }

func (reporting) Send(context.Context, tidings.Call) (tidings.Accepted, error) {
	return tidings.Accepted{}, nil
}

func (reporting) Report(r tidings.Report) (receipts []tidings.Receipt, answer tidings.ReportAnswer, err error) {
	for line := range strings.FieldsSeq(string(r.Body)) {
		receipt := tidings.Receipt{Kind: tidings.ReceiptDelivered}
		if id, ok := strings.CutPrefix(line, "#"); ok {
			receipt.ProviderID = id
		} else if receipt.Attempt, err = tidings.ParseID(line); err != nil {
			return nil, answer, tidings.Errorf(tidings.Invalid, "no attempt")
		}
		receipts = append(receipts, receipt)
	}
	return receipts, tidings.ReportAnswer{Status: 200, Type: "text/plain", Body: "kept"}, nil
}

type record = api.Store

// attempted is a store in which gate has made attempts 1 and 2, and another integration 3.
type attempted struct {
	record
	kept []tidings.ID
}

func (s *attempted) ReportedAttempt(_ context.Context, id tidings.ID) (string, error) {
	switch {
	case id == 3:
		return "other", nil
	case id > 3:
		return "", tidings.Errorf(tidings.NotFound, "no attempt")
	}
	return "gate", nil
}

func (s *attempted) AttemptOf(_ context.Context, integration, providerID string) (tidings.ID, error) {
	if integration != "gate" || providerID != "p2" {
		return 0, tidings.Errorf(tidings.NotFound, "no attempt")
	}
	return 2, nil
}

func (s *attempted) Receive(_ context.Context, r tidings.Receipt) error {
	s.kept = append(s.kept, r.Attempt)
	return nil
}

// Who has the URL of an integration reports on its attempts and on no other's; who has that of an attempt on this one alone.
func TestReportsReachTheAttemptsTheyMayTellOf(t *testing.T) {
	key, sig := auth.SignReports([]byte(master), "gate"), auth.SignReceipt([]byte(master), 1)
	one, two, three, nine := tidings.ID(1).String(), tidings.ID(2).String(), tidings.ID(3).String(), tidings.ID(9).String()
	for _, c := range []struct {
		path, body string
		code       int
		kept       []tidings.ID
	}{
		{"/v1/receipts/test/gate?key=" + key, one + " " + three + " #p2 #p9 " + nine, 200, []tidings.ID{1, 2}},
		{"/v1/receipts/test/gate?key=" + key, "nonsense", 400, nil},
		{"/v1/receipts/test/gate?key=" + key[1:] + "0", one, 403, nil},
		{"/v1/receipts/test/other?key=" + key, one, 403, nil},
		{"/v1/receipts/test/other?key=" + auth.SignReports([]byte(master), "other"), one, 404, nil},
		{"/v1/receipts/kannel/gate?key=" + key, one, 404, nil},
		{"/v1/receipts/test?attempt=" + one + "&sig=" + sig, two, 200, []tidings.ID{1}},
		{"/v1/receipts/test?attempt=" + two + "&sig=" + sig, one, 403, nil},
	} {
		s := &attempted{}
		a := api.New(api.Config{Store: s, Reports: reporting{}, Door: middleware.NewDoor(middleware.Config{})})
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body)))
		if w.Code != c.code || !slices.Equal(s.kept, c.kept) || c.code == 200 && w.Body.String() != "kept" {
			t.Errorf("%s with %s: %d %s, kept %v", c.path, c.body, w.Code, w.Body, s.kept)
		}
	}
}

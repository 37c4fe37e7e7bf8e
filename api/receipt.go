package api

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"tidings"
	"tidings/auth"
)

// Reports are the integrations as their providers' reports reach them.
type Reports interface {
	// Reporter finds an integration of a provider; false: there is none that reads reports.
	Reporter(integration, provider string) (tidings.Reporter, bool)
	// VerifyAttempt tells whether a report's URL was signed for its attempt ("sig"), VerifyIntegration whether for all of an
	// integration's ("key").
	VerifyAttempt(attempt tidings.ID, signature string) bool
	VerifyIntegration(integration, signature string) bool
}

// receive takes a provider's report on one attempt. Its URL is ours and carries the attempt with a signature, for Kannel signs
// nothing itself (WIRE 2.1, quirk 4). A report that comes twice, late or out of order is as welcome as any.
func (a *API) receive(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	// The signature first: who cannot sign learns nothing about the rest.
	query := r.URL.Query()
	id, err := tidings.ParseID(query.Get("attempt"))
	if err != nil || !a.Reports.VerifyAttempt(id, query.Get("sig")) {
		return tidings.Errorf(tidings.Forbidden, "the report's signature is not ours")
	}
	integration, err := a.Store.ReportedAttempt(r.Context(), id)
	if err != nil {
		return err
	}
	if integration == "" { // an attempt from before there were several: the environment's, named for its provider
		integration = r.PathValue("provider")
	}
	return a.report(w, r, integration, tidings.Report{Attempt: id})
}

// receiveAll takes a provider's reports on an integration's attempts: the URL is set once at the provider, and the body says which.
func (a *API) receiveAll(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	integration := r.PathValue("integration")
	if !a.Reports.VerifyIntegration(integration, r.URL.Query().Get("key")) {
		return tidings.Errorf(tidings.Forbidden, "the report's signature is not ours")
	}
	return a.report(w, r, integration, tidings.Report{})
}

// report has the integration read a report, and keeps each receipt in it. One of an attempt that the integration did not make is
// left out: the provider need not send it again.
func (a *API) report(w http.ResponseWriter, r *http.Request, integration string, report tidings.Report) error {
	reporter, ok := a.Reports.Reporter(integration, r.PathValue("provider"))
	if !ok {
		return notFound("integration")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return &tidings.Error{Code: tidings.Invalid, Detail: "the report cannot be read", Err: err}
	}
	report.Method, report.URL, report.Header, report.Query, report.Body = r.Method, r.URL.RequestURI(), r.Header, r.URL.Query(), body
	receipts, answer, err := reporter.Report(report)
	if err != nil {
		return err
	}
	raw := raw(r, body)
	for _, receipt := range receipts {
		if receipt.Raw == "" {
			receipt.Raw = raw
		}
		if err := a.keep(r.Context(), integration, report.Attempt, receipt); err != nil {
			return err
		}
	}
	if answer.Status == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set("Content-Type", answer.Type)
	w.WriteHeader(answer.Status)
	_, err = io.WriteString(w, answer.Body)
	return err
}

// raw is a report as it came, without what we ourselves put into its URL: the signatures are nobody's to read.
func raw(r *http.Request, body []byte) string {
	query := r.URL.Query()
	for _, ours := range []string{"sig", "key"} {
		query.Del(ours)
	}
	return r.Method + " " + query.Encode() + "\n" + string(body)
}

// keep records a receipt of an attempt that the integration made: the signed one, or the one that the report names.
func (a *API) keep(ctx context.Context, integration string, signed tidings.ID, receipt tidings.Receipt) error {
	var err error
	switch {
	case signed != 0:
		receipt.Attempt = signed
	case receipt.Attempt == 0:
		receipt.Attempt, err = a.Store.AttemptOf(ctx, integration, receipt.ProviderID)
	default:
		var by string
		if by, err = a.Store.ReportedAttempt(ctx, receipt.Attempt); err == nil && by != integration {
			return nil
		}
	}
	if err == nil {
		err = a.Store.Receive(ctx, receipt)
	}
	if tidings.CodeOf(err) == tidings.NotFound {
		return nil
	}
	return err
}

// ReportPath is where a provider reports on all of an integration's attempts, with the key that the URL carries.
func ReportPath(provider, integration, key string) string {
	return "/v1/receipts/" + url.PathEscape(provider) + "/" + url.PathEscape(integration) + "?key=" + url.QueryEscape(key)
}

package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
)

// receive takes a provider's delivery report. Its URL is ours and carries the attempt with a signature, for Kannel signs
// nothing itself (WIRE 2.1, quirk 4). A report that comes twice, late or out of order is as welcome as any.
func (a *API) receive(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	parse, ok := a.Receipts[r.PathValue("provider")]
	if !ok {
		return notFound("provider")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return &tidings.Error{Code: tidings.Invalid, Detail: "the report cannot be read", Err: err}
	}
	// The signature first: who cannot sign learns nothing about the rest.
	id, err := tidings.ParseID(r.Form.Get("attempt"))
	if err != nil || !a.VerifyReceipt(id, r.Form.Get("sig")) {
		return tidings.Errorf(tidings.Forbidden, "the report's signature is not ours")
	}
	attempt, kind, detail, err := parse(r.Form)
	if err != nil {
		return err
	}
	if err := a.Store.Receive(r.Context(), tidings.Receipt{Attempt: attempt, Kind: kind, Detail: detail}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/platform"
)

// accountRequest is a new account.
type accountRequest struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Role        tidings.Role `json:"role"`
	Application string       `json:"application"`
	Locale      string       `json:"locale"`
	Password    string       `json:"password"`
}

func (a *API) postAccount(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var b accountRequest
	if err := readJSON(w, r, &b); err != nil {
		return err
	}
	made, err := a.Platform.CreateAccount(r.Context(), tidings.Account{ID: b.ID, Name: b.Name, Role: b.Role, Application: b.Application, Locale: b.Locale}, b.Password)
	return created(w, made, err)
}

func (a *API) getAccounts(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	accounts, err := a.Platform.Accounts(r.Context())
	return whole(w, accounts, err)
}

func (a *API) getAccount(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return lookUp(w, r, "account", a.Platform.Account)
}

func (a *API) putAccount(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var b platform.AccountChange
	if err := readJSON(w, r, &b); err != nil {
		return err
	}
	changed, err := a.Platform.ChangeAccount(r.Context(), r.PathValue("id"), b)
	return put(w, changed, err)
}

// ownAccount is who asks. The admin token and keys without an account have none in SQL.
func (a *API) ownAccount(r *http.Request, p auth.Principal) (tidings.Account, error) {
	known, err := a.Platform.Account(r.Context(), p.Account)
	if tidings.CodeOf(err) == tidings.NotFound {
		return tidings.Account{ID: p.Account, Name: p.Account, Role: p.Role, State: tidings.AccountActive}, nil
	}
	return known, err
}

func (a *API) getOwnAccount(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	known, err := a.ownAccount(r, p)
	return put(w, known, err)
}

func (a *API) putOwnAccount(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var b struct {
		platform.AccountChange
		OldPassword string `json:"old_password"`
	}
	if err := readJSON(w, r, &b); err != nil {
		return err
	}
	changed, err := a.Platform.ChangeOwnAccount(r.Context(), p.Account, b.OldPassword, b.AccountChange)
	return put(w, changed, err)
}

func (a *API) postOwnKey(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var b struct {
		Name      string `json:"name"`
		ExpiresAt string `json:"expires_at"`
	}
	if err := readJSON(w, r, &b); err != nil {
		return err
	}
	k, err := keyRequest{Kind: tidings.AdminKey, Account: p.Account, Name: b.Name, ExpiresAt: b.ExpiresAt}.key("", "")
	if err != nil {
		return err
	}
	k, shown, err := a.Platform.CreateKey(r.Context(), k)
	return created(w, shownKey{Key: k, Secret: shown}, err)
}

func (a *API) getOwnKeys(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	keys, err := a.Platform.AccountKeys(r.Context(), p.Account)
	return whole(w, keys, err)
}

func (a *API) deleteOwnKey(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if err := a.Platform.RevokeAccountKey(r.Context(), p.Account, r.PathValue("key")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// getAudit lists the audit log, the newest first.
func (a *API) getAudit(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	q := queryOf(r)
	cq := tidings.ChangeQuery{Actor: q.text("actor"), Action: q.text("action"), Object: q.text("object"), Since: q.time("since"),
		Before: q.number("before"), Limit: q.limit()}
	if err := q.err(); err != nil {
		return err
	}
	changes, err := a.Platform.Changes(r.Context(), cq)
	return whole(w, changes, err)
}

// verifyAudit checks the whole audit log, and that a head that was kept elsewhere is still in it.
func (a *API) verifyAudit(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	q := queryOf(r)
	known := tidings.AuditHead{Number: q.number("number"), Hash: q.text("hash")}
	if err := q.err(); err != nil {
		return err
	}
	if (known.Number == 0) != (known.Hash == "") {
		return fieldError(tidings.Invalid, "hash", "missing", "a head is a number and a hash")
	}
	report, err := a.Platform.VerifyAudit(r.Context(), known)
	return put(w, report, err)
}

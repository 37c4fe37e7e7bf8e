package api

import (
	"net/http"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/platform"
)

// keyRequest is the body that asks for a key. Which of its fields a key may have depends on its kind.
type keyRequest struct {
	Kind      tidings.KeyKind   `json:"kind"`
	Merchant  string            `json:"merchant"`
	Store     string            `json:"store"`
	Role      tidings.Role      `json:"role"`
	Account   string            `json:"account"`
	Name      string            `json:"name"`
	Scopes    []string          `json:"scopes"`
	Types     []string          `json:"types"`
	Channels  []tidings.Channel `json:"channels"`
	ExpiresAt string            `json:"expires_at"`
}

// shownKey is the answer that alone ever holds the whole key.
type shownKey struct {
	tidings.Key
	Secret string `json:"key"`
}

func (a *API) postApplicationKey(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := auth.May(p, auth.WriteKeys, r.PathValue("id")); err != nil {
		return err
	}
	return a.createKey(w, r, p, tidings.ApplicationKey, r.PathValue("id"))
}

func (a *API) postKey(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	return a.createKey(w, r, p, "", "")
}

func (a *API) createKey(w http.ResponseWriter, r *http.Request, p auth.Principal, kind tidings.KeyKind, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var body keyRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	k, err := body.key(kind, application)
	if err != nil {
		return err
	}
	for i, scope := range k.Scopes {
		if p.Bound() && k.Kind == tidings.ApplicationKey && !platform.GrantedByApplication(scope) {
			return fieldError(tidings.Forbidden, "scopes["+strconv.Itoa(i)+"]", "forbidden", "only an admin grants "+clip(scope))
		}
	}
	k, shown, err := a.Platform.CreateKey(r.Context(), k)
	return created(w, shownKey{Key: k, Secret: shown}, err)
}

// key is what the request asks for; kind and application are the path's, if it has them.
func (b keyRequest) key(kind tidings.KeyKind, application string) (tidings.Key, error) {
	var errs tidings.FieldErrors
	if kind == "" {
		kind = b.Kind
	} else if b.Kind != "" && b.Kind != kind {
		errs.Add("kind", "unknown", "keys under an application are the application's")
	}
	if application == "" && kind == tidings.ApplicationKey {
		errs.Add("kind", "unknown", "merchant or admin; an application's keys are made under the application")
	}
	k := tidings.Key{Kind: kind, Application: application, Role: b.Role, Account: b.Account, Name: b.Name, Scopes: b.Scopes,
		Types: b.Types, Channels: b.Channels}
	switch {
	case b.Merchant != "" && b.Store != "":
		errs.Add("store", "malformed", "give merchant or store, not both")
	case b.Merchant != "":
		k.Dimension = tidings.ViaMerchant + b.Merchant
	case b.Store != "":
		k.Dimension = tidings.ViaStore + b.Store
	}
	k.ExpiresAt = readTime(&errs, "expires_at", b.ExpiresAt).Truncate(time.Microsecond)
	return k, errs.Err(tidings.Invalid)
}

func (a *API) getApplicationKeys(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := auth.May(p, auth.ReadKeys, r.PathValue("id")); err != nil {
		return err
	}
	return a.listKeys(w, r, r.PathValue("id"))
}

func (a *API) getKeys(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.listKeys(w, r, "")
}

func (a *API) listKeys(w http.ResponseWriter, r *http.Request, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	keys, err := a.Platform.Keys(r.Context(), application)
	return whole(w, keys, err)
}

func (a *API) deleteApplicationKey(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := auth.May(p, auth.WriteKeys, r.PathValue("id")); err != nil {
		return err
	}
	return a.revoke(w, r, r.PathValue("id"))
}

func (a *API) deleteKey(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.revoke(w, r, "")
}

func (a *API) revoke(w http.ResponseWriter, r *http.Request, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if err := a.Platform.RevokeKey(r.Context(), application, r.PathValue("key")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

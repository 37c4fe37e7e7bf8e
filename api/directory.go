package api

import (
	"context"
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Directory is the company's directory of merchants, stores and users.
type Directory interface {
	PutMerchants(ctx context.Context, ms []tidings.Merchant) error
	PutStores(ctx context.Context, ss []tidings.Store) error
	PutUsers(ctx context.Context, us []tidings.User) error
	PutAddressesOf(ctx context.Context, of []tidings.ImportAddresses) error
	DeleteMerchant(ctx context.Context, id string) error
	DeleteStore(ctx context.Context, id string) error
	DeleteUser(ctx context.Context, id string) error
	DeleteMerchants(ctx context.Context, ids []string) (int, error)
	DeleteStores(ctx context.Context, ids []string) (int, error)
	DeleteUsers(ctx context.Context, ids []string) (int, error)
	Merchant(ctx context.Context, id string) (tidings.Merchant, error)
	Store(ctx context.Context, id string) (tidings.Store, error)
	User(ctx context.Context, id string) (tidings.User, error)
	Merchants(ctx context.Context, after string, limit int) ([]tidings.Merchant, error)
	Stores(ctx context.Context, merchant, after string, limit int) ([]tidings.Store, error)
	Users(ctx context.Context, after string, limit int) ([]tidings.User, error)
}

// named reads the body of a PUT into v and puts the id of the path where it belongs: the body may leave its id out, and
// must not name another.
func named(w http.ResponseWriter, r *http.Request, v any, id *string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if err := readJSON(w, r, v); err != nil {
		return err
	}
	path := r.PathValue("id")
	if *id != "" && *id != path {
		return fieldError(tidings.Invalid, "id", "malformed", "is not the id in the path")
	}
	*id = path
	return nil
}

func (a *API) putMerchant(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	var m tidings.Merchant
	if err := named(w, r, &m, &m.ID); err != nil {
		return err
	}
	if err := m.Validate().Err(tidings.Invalid); err != nil {
		return err
	}
	return put(w, m, a.Store.PutMerchants(r.Context(), []tidings.Merchant{m}))
}

func (a *API) putStore(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	var s tidings.Store
	if err := named(w, r, &s, &s.ID); err != nil {
		return err
	}
	if err := s.Validate().Err(tidings.Invalid); err != nil {
		return err
	}
	return put(w, s, a.Store.PutStores(r.Context(), []tidings.Store{s}))
}

func (a *API) putUser(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	var u tidings.User
	if err := named(w, r, &u, &u.ID); err != nil {
		return err
	}
	if err := u.Validate().Err(tidings.Invalid); err != nil {
		return err
	}
	if u.Memberships == nil {
		u.Memberships = []tidings.Membership{}
	}
	return put(w, u, a.Store.PutUsers(r.Context(), []tidings.User{u}))
}

// put answers with what was put.
func put(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, v)
}

// addressesRequest is the body of PUT /v1/users/{id}/addresses.
type addressesRequest struct {
	Addresses []tidings.Address `json:"addresses"`
}

// putAddresses replaces a user's addresses. They are never given back: the answer has no body.
func (a *API) putAddresses(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var body addressesRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if body.Addresses == nil {
		return fieldError(tidings.Invalid, "addresses", "missing", "a list; an empty one removes them")
	}
	if err := tidings.ValidateAddresses(body.Addresses).Err(tidings.Invalid); err != nil {
		return err
	}
	if err := a.Store.PutAddressesOf(r.Context(), []tidings.ImportAddresses{{User: r.PathValue("id"), Addresses: body.Addresses}}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// lookUp answers with what find finds under the path's id.
func lookUp[T any](w http.ResponseWriter, r *http.Request, noun string, find func(context.Context, string) (T, error)) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if !tidings.ValidName(r.PathValue("id")) {
		return notFound(noun)
	}
	v, err := find(r.Context(), r.PathValue("id"))
	return put(w, v, err)
}

func (a *API) getMerchant(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return lookUp(w, r, "merchant", a.Store.Merchant)
}

func (a *API) getStore(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return lookUp(w, r, "store", a.Store.Store)
}

func (a *API) getUser(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return lookUp(w, r, "user", a.Store.User)
}

// remove deletes what the path names.
func remove(w http.ResponseWriter, r *http.Request, noun string, del func(context.Context, string) error) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if !tidings.ValidName(r.PathValue("id")) {
		return notFound(noun)
	}
	if err := del(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) deleteMerchant(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return remove(w, r, "merchant", a.Store.DeleteMerchant)
}

func (a *API) deleteStore(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return remove(w, r, "store", a.Store.DeleteStore)
}

func (a *API) deleteUser(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return remove(w, r, "user", a.Store.DeleteUser)
}

func (a *API) getMerchants(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return list(w, r, queryOf(r), a.Store.Merchants, func(m tidings.Merchant) string { return m.ID })
}

func (a *API) getStores(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	q := queryOf(r)
	merchant := q.name("merchant")
	read := func(ctx context.Context, after string, limit int) ([]tidings.Store, error) {
		return a.Store.Stores(ctx, merchant, after, limit)
	}
	return list(w, r, q, read, func(s tidings.Store) string { return s.ID })
}

func (a *API) getUsers(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return list(w, r, queryOf(r), a.Store.Users, func(u tidings.User) string { return u.ID })
}

// list answers with a page of a list in order of ids.
func list[T any](w http.ResponseWriter, r *http.Request, q *query, read func(ctx context.Context, after string, limit int) ([]T, error), id func(T) string) error {
	after, limit := q.name("after"), q.limit()
	if err := q.err(); err != nil {
		return err
	}
	items, err := read(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, byName(items, limit, id))
}

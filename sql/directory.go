package sql

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidings"
)

type merchantRow struct {
	ID, Name, Attributes string
}

func (r merchantRow) merchant() (tidings.Merchant, error) {
	m := tidings.Merchant{ID: r.ID, Name: r.Name}
	return m, fromJSON(r.Attributes, &m.Attributes)
}

type storeRow struct {
	ID         string
	Merchant   string `db:"merchant_id"`
	Name       string
	Region     string
	Timezone   string
	Hours      string
	Holidays   string
	Attributes string
}

func (r storeRow) store() (tidings.Store, error) {
	s := tidings.Store{ID: r.ID, Merchant: r.Merchant, Name: r.Name, Region: r.Region, Timezone: r.Timezone}
	return s, errors.Join(fromJSON(r.Hours, &s.Hours), fromJSON(r.Holidays, &s.Holidays), fromJSON(r.Attributes, &s.Attributes))
}

type userRow struct {
	ID, Name, Locale string
}

type membershipRow struct {
	User      string `db:"user_id"`
	Dimension string
	Role      string
}

func (r membershipRow) membership() tidings.Membership {
	if store, ok := strings.CutPrefix(r.Dimension, tidings.ViaStore); ok {
		return tidings.Membership{Store: store, Role: r.Role}
	}
	return tidings.Membership{Merchant: strings.TrimPrefix(r.Dimension, tidings.ViaMerchant), Role: r.Role}
}

// PutMerchants writes merchants, new or known. Of two with one id the later counts.
func (db *DB) PutMerchants(ctx context.Context, ms []tidings.Merchant) error {
	ms = lastOfEach(ms, func(m tidings.Merchant) string { return m.ID })
	ids := strs(ms, func(m tidings.Merchant) string { return m.ID })
	return db.directory(ctx, "put", "merchant", ids, func(t *tx) error {
		_, err := t.Exec(ctx, "put-merchants", columns(ids, strs(ms, func(m tidings.Merchant) string { return m.Name }),
			strs(ms, func(m tidings.Merchant) string { return jsonOr(m.Attributes, "{}") })))
		return err
	})
}

// directory runs f, which changes things of a kind, and writes it into the audit log: one thing by its id, several in one row
// with their count.
func (db *DB) directory(ctx context.Context, action, kind string, ids []string, f func(*tx) error) error {
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return db.changed(ctx, kind+"."+action, kind+" "+ids[0], nil, f)
	}
	return db.changed(ctx, kind+"."+action, "directory", map[string]any{"count": len(ids), "first": ids[0], "last": ids[len(ids)-1]}, f)
}

// PutStores writes stores, new or known. A merchant that is not in the directory is Unprocessable and names its field:
// "merchant" of a single store, "stores[3].merchant" of several.
func (db *DB) PutStores(ctx context.Context, ss []tidings.Store) error {
	return db.directory(ctx, "put", "store", distinct(strs(ss, func(s tidings.Store) string { return s.ID })), func(t *tx) error {
		known, err := t.merchants(ctx, strs(ss, func(s tidings.Store) string { return s.Merchant }))
		if err != nil {
			return err
		}
		var errs tidings.FieldErrors
		for i, s := range ss {
			if !known[s.Merchant] {
				errs.Add(fieldOf("stores", i, len(ss))+"merchant", "unknown", "no merchant "+s.Merchant+" in the directory")
			}
		}
		if len(errs) > 0 {
			return errs.Err(tidings.Unprocessable)
		}
		return t.putStores(ctx, lastOfEach(ss, func(s tidings.Store) string { return s.ID }))
	})
}

func (t *tx) putStores(ctx context.Context, ss []tidings.Store) error {
	merchants := strs(ss, func(s tidings.Store) string { return s.Merchant })
	_, err := t.Exec(ctx, "put-stores", columns(
		strs(ss, func(s tidings.Store) string { return s.ID }), merchants,
		strs(ss, func(s tidings.Store) string { return s.Name }),
		strs(ss, func(s tidings.Store) string { return s.Region }),
		strs(ss, func(s tidings.Store) string { return s.Timezone }),
		strs(ss, func(s tidings.Store) string { return jsonOr(s.Hours, "{}") }),
		strs(ss, func(s tidings.Store) string { return jsonOr(s.Holidays, "[]") }),
		strs(ss, func(s tidings.Store) string { return jsonOr(s.Attributes, "{}") })))
	if err != nil {
		return err
	}
	_, err = t.Exec(ctx, "move-memberships",
		columns(strs(ss, func(s tidings.Store) string { return tidings.ViaStore + s.ID }), merchants))
	return err
}

// PutUsers writes users, new or known, with all their memberships: those not given end. A merchant or store that is not in
// the directory is Unprocessable and names its field: "memberships[0].store" of a single user,
// "users[3].memberships[0].store" of several.
func (db *DB) PutUsers(ctx context.Context, us []tidings.User) error {
	return db.directory(ctx, "put", "user", distinct(strs(us, func(u tidings.User) string { return u.ID })), func(t *tx) error {
		merchantOf, err := t.merchantsOfMemberships(ctx, us)
		if err != nil {
			return err
		}
		us := lastOfEach(us, func(u tidings.User) string { return u.ID })
		ids := columns(strs(us, func(u tidings.User) string { return u.ID }))
		_, err = t.Exec(ctx, "put-users", columns(ids[0],
			strs(us, func(u tidings.User) string { return u.Name }),
			strs(us, func(u tidings.User) string { return cmp.Or(u.Locale, tidings.DefaultLocale) })))
		if err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "put-inboxes", ids); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "delete-memberships-of", ids); err != nil {
			return err
		}
		_, err = t.Exec(ctx, "put-memberships", membershipColumns(us, merchantOf))
		return err
	})
}

// membershipColumns lists the memberships of users; of two in one dimension the later counts.
func membershipColumns(us []tidings.User, merchantOf map[string]string) bulk {
	var users, dimensions, merchants, roles []string
	for _, u := range us {
		for _, m := range lastOfEach(u.Memberships, tidings.Membership.Dimension) {
			users, dimensions = append(users, u.ID), append(dimensions, m.Dimension())
			merchants, roles = append(merchants, merchantOf[m.Dimension()]), append(roles, m.Role)
		}
	}
	return columns(users, dimensions, merchants, roles)
}

// merchantsOfMemberships finds the merchant of each dimension that the users are members of, and locks merchants and
// stores until the commit.
func (t *tx) merchantsOfMemberships(ctx context.Context, us []tidings.User) (map[string]string, error) {
	var merchants, stores []string
	for _, u := range us {
		for _, m := range u.Memberships {
			if m.Store != "" {
				stores = append(stores, m.Store)
			} else {
				merchants = append(merchants, m.Merchant)
			}
		}
	}
	merchantOf := map[string]string{}
	known, err := t.merchants(ctx, merchants)
	if err != nil {
		return nil, err
	}
	for id := range known {
		merchantOf[tidings.ViaMerchant+id] = id
	}
	var rows []storeRow
	if err := t.Select(ctx, &rows, "lock-stores", columns(distinct(stores))); err != nil {
		return nil, err
	}
	for _, r := range rows {
		merchantOf[tidings.ViaStore+r.ID] = r.Merchant
	}
	return merchantOf, unknownMemberships(us, merchantOf).Err(tidings.Unprocessable)
}

func unknownMemberships(us []tidings.User, merchantOf map[string]string) (errs tidings.FieldErrors) {
	for i, u := range us {
		for j, m := range u.Memberships {
			if merchantOf[m.Dimension()] != "" {
				continue
			}
			field, what, id := "merchant", "merchant", m.Merchant
			if m.Store != "" {
				field, what, id = "store", "store", m.Store
			}
			errs.Add(fmt.Sprintf("%smemberships[%d].%s", fieldOf("users", i, len(us)), j, field), "unknown",
				fmt.Sprintf("no %s %s in the directory", what, id))
		}
	}
	return errs
}

// merchants tells which of the ids are merchants, and locks these.
func (t *tx) merchants(ctx context.Context, ids []string) (map[string]bool, error) {
	var found []string
	if err := t.Select(ctx, &found, "lock-merchants", columns(distinct(ids))); err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(found))
	for _, id := range found {
		known[id] = true
	}
	return known, nil
}

// PutAddresses replaces the addresses of a user. They are sealed before they are written.
func (db *DB) PutAddresses(ctx context.Context, user string, as []tidings.Address) error {
	return db.PutAddressesOf(ctx, []tidings.ImportAddresses{{User: user, Addresses: as}})
}

// PutAddressesOf is PutAddresses for several users.
func (db *DB) PutAddressesOf(ctx context.Context, of []tidings.ImportAddresses) error {
	of = lastOfEach(of, func(o tidings.ImportAddresses) string { return o.User })
	users := strs(of, func(o tidings.ImportAddresses) string { return o.User })
	var owners []string
	var as []tidings.Address
	for _, o := range of {
		for _, a := range lastOfEach(o.Addresses, func(a tidings.Address) string { return string(a.Channel) }) {
			owners, as = append(owners, o.User), append(as, a)
		}
	}
	return db.directory(ctx, "addresses", "user", users, func(t *tx) error {
		var known []string
		if err := t.Select(ctx, &known, "lock-users", columns(users)); err != nil {
			return err
		}
		for _, u := range users {
			if !slices.Contains(known, u) {
				return tidings.Errorf(tidings.NotFound, "there is no user %s", u)
			}
		}
		if _, err := t.Exec(ctx, "delete-addresses-of", columns(users)); err != nil {
			return err
		}
		sealed := make([]string, len(as))
		for i, a := range as {
			sealed[i] = db.sealer.Seal(addressPlace(owners[i], string(a.Channel)), a.Value)
		}
		_, err := t.Exec(ctx, "put-addresses", columns(owners,
			strs(as, func(a tidings.Address) string { return string(a.Channel) }),
			sealed,
			strs(as, func(a tidings.Address) string { return db.sealer.Blind(a.Value) }),
			strs(as, func(a tidings.Address) string { return a.Provider }),
			strs(as, func(a tidings.Address) string { return a.Platform })))
		return err
	})
}

// DeleteMerchant takes a merchant and its stores out of the directory and ends all memberships in them.
func (db *DB) DeleteMerchant(ctx context.Context, id string) error {
	return existing(ctx, "merchant", id, db.DeleteMerchants)
}

// DeleteStore takes a store out of the directory and ends the memberships in it.
func (db *DB) DeleteStore(ctx context.Context, id string) error {
	return existing(ctx, "store", id, db.DeleteStores)
}

// DeleteUser takes a user out of the directory, with memberships and addresses. The history of what he was sent stays.
func (db *DB) DeleteUser(ctx context.Context, id string) error {
	return existing(ctx, "user", id, db.DeleteUsers)
}

// existing deletes one thing, which has to be there.
func existing(ctx context.Context, kind, id string, del func(context.Context, []string) (int, error)) error {
	n, err := del(ctx, []string{id})
	if err == nil && n == 0 {
		return tidings.Errorf(tidings.NotFound, "there is no %s %s", kind, id)
	}
	return err
}

// DeleteMerchants is DeleteMerchant for several; it returns how many there were.
func (db *DB) DeleteMerchants(ctx context.Context, ids []string) (int, error) {
	return db.remove(ctx, "merchant", ids, "delete-merchants", "delete-stores-of", "touch-users-of-merchants", "delete-memberships-of-merchants")
}

// DeleteStores is DeleteStore for several; it returns how many there were.
func (db *DB) DeleteStores(ctx context.Context, ids []string) (int, error) {
	return db.remove(ctx, "store", ids, "delete-stores", "touch-users-of-stores", "delete-memberships-of-stores")
}

// DeleteUsers is DeleteUser for several; it returns how many there were.
func (db *DB) DeleteUsers(ctx context.Context, ids []string) (int, error) {
	return db.remove(ctx, "user", ids, "delete-users", "delete-memberships-of", "delete-addresses-of")
}

// errNothing ends a transaction that has nothing to change, so that nothing is written into the audit log.
var errNothing = errors.New("nothing of these ids is in the directory")

// remove runs the queries and returns how many rows the first one changed.
func (db *DB) remove(ctx context.Context, kind string, ids []string, queries ...string) (n int, err error) {
	ids = distinct(ids)
	err = db.directory(ctx, "delete", kind, ids, func(t *tx) error {
		for i, q := range queries {
			changed, err := t.Exec(ctx, q, columns(ids))
			if err != nil {
				return err
			}
			if i == 0 {
				n = int(changed)
			}
			if n == 0 {
				return errNothing
			}
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	return n, err
}

// Merchant reads a merchant.
func (db *DB) Merchant(ctx context.Context, id string) (tidings.Merchant, error) {
	var r merchantRow
	if err := db.Get(ctx, &r, "merchant", id); err != nil {
		return tidings.Merchant{}, notFound(err, "merchant", id)
	}
	return r.merchant()
}

// Merchants reads at most limit merchants in order of their ids, from behind the id after.
func (db *DB) Merchants(ctx context.Context, after string, limit int) ([]tidings.Merchant, error) {
	var rows []merchantRow
	if err := db.Select(ctx, &rows, "merchants", after, limit); err != nil {
		return nil, err
	}
	return each(rows, merchantRow.merchant)
}

// Store reads a store.
func (db *DB) Store(ctx context.Context, id string) (tidings.Store, error) {
	var r storeRow
	if err := db.Get(ctx, &r, "store", id); err != nil {
		return tidings.Store{}, notFound(err, "store", id)
	}
	return r.store()
}

// Stores reads at most limit stores of a merchant ("": of all) in order of their ids, from behind the id after.
func (db *DB) Stores(ctx context.Context, merchant, after string, limit int) ([]tidings.Store, error) {
	var rows []storeRow
	var err error
	if merchant == "" {
		err = db.Select(ctx, &rows, "stores", after, limit)
	} else {
		err = db.Select(ctx, &rows, "stores-of", merchant, after, limit)
	}
	if err != nil {
		return nil, err
	}
	return each(rows, storeRow.store)
}

// User reads a user with his memberships.
func (db *DB) User(ctx context.Context, id string) (tidings.User, error) {
	var r userRow
	if err := db.Get(ctx, &r, "user", id); err != nil {
		return tidings.User{}, notFound(err, "user", id)
	}
	us, err := db.withMemberships(ctx, []userRow{r})
	if err != nil {
		return tidings.User{}, err
	}
	return us[0], nil
}

// Users reads at most limit users in order of their ids, from behind the id after.
func (db *DB) Users(ctx context.Context, after string, limit int) ([]tidings.User, error) {
	var rows []userRow
	if err := db.Select(ctx, &rows, "users", after, limit); err != nil {
		return nil, err
	}
	return db.withMemberships(ctx, rows)
}

func (db *DB) withMemberships(ctx context.Context, rows []userRow) ([]tidings.User, error) {
	var ms []membershipRow
	err := db.Select(ctx, &ms, "memberships-of-users", columns(strs(rows, func(r userRow) string { return r.ID })))
	if err != nil {
		return nil, err
	}
	of := map[string][]tidings.Membership{}
	for _, m := range ms {
		of[m.User] = append(of[m.User], m.membership())
	}
	us := make([]tidings.User, len(rows))
	for i, r := range rows {
		us[i] = tidings.User{ID: r.ID, Name: r.Name, Locale: r.Locale, Memberships: of[r.ID]}
	}
	return us, nil
}

// Dimensions lists the merchants and stores that the user is a member of: "m:acme", "s:acme-1". A store does not imply its
// merchant.
func (db *DB) Dimensions(ctx context.Context, user string) (ds []string, err error) {
	return ds, db.Select(ctx, &ds, "dimensions-of", user)
}

// lastOfEach keeps the last of those with the same id and sorts by id: one statement may not write a row twice, and writers
// that lock in one order do not wait for each other in a circle.
func lastOfEach[T any](items []T, id func(T) string) []T {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	out := items[:0]
	for i, item := range items {
		if i+1 == len(items) || id(items[i+1]) != id(item) {
			out = append(out, item)
		}
	}
	return out
}

func distinct(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// fieldOf is the path of the i-th of n things in a request, which names a list only when there are several.
func fieldOf(list string, i, n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("%s[%d].", list, i)
}

// fromJSON reads what jsonOr wrote; an empty map or list is none.
func fromJSON(text string, into any) error {
	if text == "{}" || text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// jsonOr writes a map or a list as JSON, an empty one as none.
func jsonOr[T map[string]string | tidings.Hours | []string](v T, none string) string {
	if len(v) == 0 {
		return none
	}
	return mustJSON(v)
}

// each converts items and stops at the first error.
func each[A, B any](items []A, f func(A) (B, error)) ([]B, error) {
	out := make([]B, len(items))
	for i, item := range items {
		var err error
		if out[i], err = f(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

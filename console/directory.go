package console

import (
	"context"
	"net/url"

	"tidings"
	"tidings/auth"
)

func (c *Console) directoryRoutes() []route {
	return []route{
		{"GET", root + "/directory", auth.ReadDirectory, (*visit).getDirectory},
		{"GET", root + "/directory/merchants/{id}", auth.ReadDirectory, (*visit).getMerchant},
		{"GET", root + "/directory/stores/{id}", auth.ReadDirectory, (*visit).getStore},
		{"GET", root + "/directory/users/{id}", auth.ReadDirectory, (*visit).getUser},
	}
}

// directoryPage is what directory.html shows: one list of the directory.
type directoryPage struct {
	Kind      string // merchants, stores, users
	Query     string
	Found     bool // something of that id was looked for and is not there
	Merchants []tidings.Merchant
	Stores    []tidings.Store
	Users     []tidings.User
	Next      string
	First     string
}

// getDirectory lists merchants, stores or users in order of id. An id that is looked for leads to its page; the beginning
// of one lists what begins so.
func (v *visit) getDirectory() error {
	q := v.r.URL.Query()
	p := directoryPage{Kind: q.Get("kind"), Query: q.Get("q")}
	if p.Kind != "stores" && p.Kind != "users" {
		p.Kind = "merchants"
	}
	after := q.Get("after")
	if !tidings.ValidName(after) {
		after = ""
	}
	if p.Query != "" && tidings.ValidName(p.Query) && after == "" {
		found, err := v.there(p.Kind, p.Query)
		if err != nil {
			return err
		}
		if found {
			return v.leave(root+"/directory/"+p.Kind+"/"+p.Query, "")
		}
		p.Found = true
	}
	last, err := v.readDirectory(&p, after)
	if err != nil {
		return err
	}
	if last != "" {
		p.Next = root + "/directory?" + url.Values{"kind": {p.Kind}, "after": {last}}.Encode()
	}
	if after != "" {
		p.First = root + "/directory?" + url.Values{"kind": {p.Kind}}.Encode()
	}
	return v.show("directory", v.t("nav.directory"), nil, p)
}

func (v *visit) there(kind, id string) (bool, error) {
	var err error
	switch ctx := v.r.Context(); kind {
	case "stores":
		_, err = v.Record.Store(ctx, id)
	case "users":
		_, err = v.Record.User(ctx, id)
	default:
		_, err = v.Record.Merchant(ctx, id)
	}
	if tidings.CodeOf(err) == tidings.NotFound {
		return false, nil
	}
	return err == nil, err
}

// readDirectory reads one page; last is the id that the next page begins after, "" when there is none.
func (v *visit) readDirectory(p *directoryPage, after string) (last string, err error) {
	ctx := v.r.Context()
	switch p.Kind {
	case "stores":
		read := func(ctx context.Context, after string, limit int) ([]tidings.Store, error) {
			return v.Record.Stores(ctx, "", after, limit)
		}
		p.Stores, last, err = pageOf(ctx, after, read, func(s tidings.Store) string { return s.ID })
	case "users":
		p.Users, last, err = pageOf(ctx, after, v.Record.Users, func(u tidings.User) string { return u.ID })
	default:
		p.Merchants, last, err = pageOf(ctx, after, v.Record.Merchants, func(m tidings.Merchant) string { return m.ID })
	}
	return last, err
}

func pageOf[T any](ctx context.Context, after string, read func(context.Context, string, int) ([]T, error), id func(T) string) ([]T, string, error) {
	items, err := read(ctx, after, pageLength+1)
	if err != nil || len(items) <= pageLength {
		return items, "", err
	}
	return items[:pageLength], id(items[pageLength-1]), nil
}

func (v *visit) directoryCrumbs(kind string) []crumb {
	return []crumb{{v.t("nav.directory"), root + "/directory"}, {word(v.lang, "directory", kind), root + "/directory?kind=" + kind}}
}

// looked is a thing of the directory under the id that the path names.
func looked[T any](v *visit, find func(context.Context, string) (T, error)) (T, error) {
	id := v.r.PathValue("id")
	if !tidings.ValidName(id) {
		var none T
		return none, tidings.Errorf(tidings.NotFound, "it is not in the directory")
	}
	return find(v.r.Context(), id)
}

func (v *visit) getMerchant() error {
	m, err := looked(v, v.Record.Merchant)
	if err != nil {
		return err
	}
	stores, err := v.Record.Stores(v.r.Context(), m.ID, "", 200)
	if err != nil {
		return err
	}
	return v.show("merchant", m.Name, v.directoryCrumbs("merchants"), struct {
		tidings.Merchant
		Stores []tidings.Store
	}{m, stores})
}

func (v *visit) getStore() error {
	s, err := looked(v, v.Record.Store)
	if err != nil {
		return err
	}
	return v.show("store", s.Name, v.directoryCrumbs("stores"), s)
}

func (v *visit) getUser() error {
	u, err := looked(v, v.Record.User)
	if err != nil {
		return err
	}
	p, _, err := v.Platform.Preferences(v.r.Context(), u.ID, "")
	if err != nil {
		return err
	}
	return v.show("user", u.Name, v.directoryCrumbs("users"), userPage{u, p})
}

// userPage is what user.html shows.
type userPage struct {
	tidings.User
	Wants tidings.Preferences
}

package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Inbox is where a user's notifications are read and marked. It shows only what the user may see.
type Inbox interface {
	Inbox(ctx context.Context, user string, q tidings.InboxQuery) (items []tidings.InboxItem, more bool, err error)
	Unread(ctx context.Context, user string, types []string) (int, error)
	// UnreadOf counts of several users; one with nothing unread may be missing.
	UnreadOf(ctx context.Context, users []string) (map[string]int, error)
	// Mark marks the notifications of ids, or with none of them everything up to upTo.
	Mark(ctx context.Context, user string, m tidings.Mark, ids []tidings.ID, upTo tidings.ID, types ...string) (changed int, err error)
}

func (a *API) getInbox(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	iq := tidings.InboxQuery{PageQuery: q.page(), Dimension: dimension(q), Unread: q.flag("unread"), Archived: q.flag("archived")}
	types, some := visible(q.names("type"), p.Types)
	if err := q.err(); err != nil {
		return err
	}
	var items []tidings.InboxItem
	var more bool
	if some {
		var err error
		iq.Types = types
		if items, more, err = a.Store.Inbox(r.Context(), p.User, iq); err != nil {
			return err
		}
	}
	page := newestFirst(items, more, iq.PageQuery, func(i tidings.InboxItem) tidings.ID { return i.ID })
	return middleware.WriteJSON(w, http.StatusOK, page)
}

// dimension reads the narrowing to one merchant or one store.
func dimension(q *query) string {
	merchant, store := q.name("merchant"), q.name("store")
	switch {
	case merchant != "" && store != "":
		q.errs.Add("store", "malformed", "give merchant or store, not both")
	case merchant != "":
		return tidings.ViaMerchant + merchant
	case store != "":
		return tidings.ViaStore + store
	}
	return ""
}

// visible narrows the types asked for to those of the token; none of either means all. some is false when nothing is left.
func visible(asked, allowed []string) (types []string, some bool) {
	if len(allowed) == 0 {
		return asked, true
	}
	if len(asked) == 0 {
		return allowed, true
	}
	for _, t := range asked {
		if slices.Contains(allowed, t) {
			types = append(types, t)
		}
	}
	return types, len(types) > 0
}

func (a *API) getUnread(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	types, some := visible(q.names("type"), p.Types)
	if err := q.err(); err != nil {
		return err
	}
	var answer struct {
		Unread int `json:"unread"`
	}
	if some {
		var err error
		if answer.Unread, err = a.Store.Unread(r.Context(), p.User, types); err != nil {
			return err
		}
	}
	return middleware.WriteJSON(w, http.StatusOK, answer)
}

// maxMarks is how many notifications one request marks.
const maxMarks = 500

// markRequest names notifications by the ids of their messages.
type markRequest struct {
	IDs  []string `json:"ids"`
	UpTo string   `json:"up_to"`
}

// changed is the answer to marking: how many notifications it changed.
type changed struct {
	Changed int `json:"changed"`
}

func (a *API) markInbox(m tidings.Mark) handler {
	return func(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
		ids, upTo, err := readMarks(w, r, true)
		if err != nil {
			return err
		}
		n, err := a.Store.Mark(r.Context(), p.User, m, ids, upTo, p.Types...)
		if err != nil {
			return err
		}
		if n > 0 {
			marked := tidings.Marked{Mark: m, IDs: ids, UpTo: upTo}
			if len(p.Types) > 0 { // not all that it names: the pages look for themselves
				marked.IDs, marked.UpTo = nil, 0
			}
			a.tellMarked(r.Context(), []tidings.UserMarked{{User: p.User, Marked: marked}})
		}
		return middleware.WriteJSON(w, http.StatusOK, changed{n})
	}
}

func readMarks(w http.ResponseWriter, r *http.Request, upToAllowed bool) (ids []tidings.ID, upTo tidings.ID, err error) {
	if err := queryOf(r).err(); err != nil {
		return nil, 0, err
	}
	var body markRequest
	if err := readJSON(w, r, &body); err != nil {
		return nil, 0, err
	}
	var errs tidings.FieldErrors
	if !upToAllowed && body.UpTo != "" {
		errs.Add("up_to", "unknown", "only a user's own inbox is marked up to a message")
	}
	if (len(body.IDs) == 0) == (body.UpTo == "") || len(body.IDs) > maxMarks {
		errs.Add("ids", "out_of_range", "1 to 500 ids of messages, or up_to")
	}
	for i, s := range body.IDs {
		id, err := tidings.ParseID(s)
		if err != nil && len(errs) == 0 {
			errs.Add("ids["+strconv.Itoa(i)+"]", "malformed", "not the id of a message")
		}
		ids = append(ids, id)
	}
	if body.UpTo != "" {
		if upTo, err = tidings.ParseID(body.UpTo); err != nil {
			errs.Add("up_to", "malformed", "not the id of a message")
		}
	}
	return ids, upTo, errs.Err(tidings.Invalid)
}

// tokenRequest is the body of POST /v1/tokens.
type tokenRequest struct {
	User      string          `json:"user"`
	Types     []string        `json:"types"`
	ExpiresIn tidings.Seconds `json:"expires_in"`
}

func (a *API) postToken(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := ofApplication(p, q)
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	var body tokenRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if err := a.checkTokenRequest(r.Context(), body); err != nil {
		return err
	}
	claims := auth.Claims{Application: application, User: body.User, Types: body.Types}
	if body.ExpiresIn != 0 {
		claims.Expires = a.Now().Truncate(time.Second).Add(body.ExpiresIn.Duration())
	}
	token, expires, err := a.Tokens.Mint(claims)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusCreated, map[string]any{"token": token, "user": body.User, "expires_at": expires.UTC()})
}

// checkTokenRequest refuses a token for somebody whom the directory does not know: it would open an inbox that nothing can
// ever reach.
func (a *API) checkTokenRequest(ctx context.Context, t tokenRequest) error {
	var errs tidings.FieldErrors
	if !tidings.ValidName(t.User) {
		errs.Add("user", "malformed", "the id of a user")
	}
	if t.ExpiresIn < 0 || t.ExpiresIn > tidings.Seconds(auth.MaxTokenLife/time.Second) {
		errs.Add("expires_in", "out_of_range", "1 to 3600 seconds")
	}
	if len(t.Types) > defaultLimit || slices.ContainsFunc(t.Types, func(s string) bool { return !tidings.ValidName(s) }) {
		errs.Add("types", "malformed", "at most 50 names of message types")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return err
	}
	_, err := a.Store.User(ctx, t.User)
	if tidings.CodeOf(err) == tidings.NotFound {
		return fieldError(tidings.Unprocessable, "user", "unknown", "the user is not in the directory")
	}
	return err
}

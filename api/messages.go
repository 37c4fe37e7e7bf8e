package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// pathID reads the message id in the path. What is no id names nothing.
func pathID(r *http.Request) (tidings.ID, error) {
	id, err := tidings.ParseID(r.PathValue("id"))
	if err != nil {
		return 0, notFound("message")
	}
	return id, nil
}

func (a *API) getMessages(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := applicationOf(p, q)
	if err != nil {
		return err
	}
	mq := tidings.MessageQuery{
		PageQuery: q.page(), Application: application, Type: q.name("type"), Since: q.time("since"), Until: q.time("until"),
	}
	if err := q.err(); err != nil {
		return err
	}
	if p.Kind == auth.Application && len(p.Types) > 0 {
		if mq.Type == "" && len(p.Types) == 1 {
			mq.Type = p.Types[0]
		}
		if err := p.MayUse(mq.Type); err != nil {
			return err
		}
	}
	items, more, err := a.Store.Messages(r.Context(), mq)
	if err != nil {
		return err
	}
	page := newestFirst(items, more, mq.PageQuery, func(m tidings.MessageStatus) tidings.ID { return m.ID })
	return middleware.WriteJSON(w, http.StatusOK, page)
}

// one reads what every request about one message has.
func (a *API) one(r *http.Request, p auth.Principal, q *query) (application string, id tidings.ID, err error) {
	if application, err = applicationOf(p, q); err != nil {
		return "", 0, err
	}
	if err = q.err(); err != nil {
		return "", 0, err
	}
	if id, err = pathID(r); err != nil || p.Kind != auth.Application || len(p.Types) == 0 && (r.Method == http.MethodGet || len(p.Channels) == 0) {
		return application, id, err
	}
	status, err := a.Store.Message(r.Context(), application, id) // the key is for some types or channels only
	switch {
	case err != nil:
	case p.MayUse(status.Type) != nil:
		err = notFound("message")
	case r.Method == http.MethodGet:
	case r.PathValue("channel") != "":
		err = p.MayUse(status.Type, tidings.Channel(r.PathValue("channel")))
	default: // what it changes it changes on all channels
		err = p.MayUse(status.Type, status.Channels...)
	}
	return application, id, err
}

func (a *API) getMessage(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := a.one(r, p, queryOf(r))
	if err != nil {
		return err
	}
	status, err := a.Store.Message(r.Context(), application, id)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, status)
}

func (a *API) getDeliveries(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	after, limit := q.name("after"), q.limit()
	application, id, err := a.one(r, p, q)
	if err != nil {
		return err
	}
	items, more, err := a.Store.Deliveries(r.Context(), application, id, after, limit)
	if err != nil {
		return err
	}
	page := pageOf[tidings.DeliveryTrace]{Data: items, Page: cursor{After: after, More: more}}
	if n := len(items); n > 0 {
		page.Page.After = items[n-1].User
	} else {
		page.Data = []tidings.DeliveryTrace{}
	}
	return middleware.WriteJSON(w, http.StatusOK, page)
}

// canceled is the answer to a cancellation: how many deliveries were still pending and will not be sent.
type canceled struct {
	Canceled int `json:"canceled"`
}

func (a *API) cancelMessage(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := a.one(r, p, queryOf(r))
	if err != nil {
		return err
	}
	n, err := a.Store.Cancel(r.Context(), application, id)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, canceled{n})
}

func (a *API) cancelDelivery(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := a.one(r, p, queryOf(r))
	if err != nil {
		return err
	}
	user, c := r.PathValue("user"), tidings.Channel(r.PathValue("channel"))
	if !tidings.ValidName(user) || !c.Valid() {
		return notFound("delivery")
	}
	n, err := a.Store.CancelDelivery(r.Context(), application, id, user, c)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, canceled{n})
}

func (a *API) cancelByKey(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := ofApplication(p, q)
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	if p.Kind == auth.Application && len(p.Types)+len(p.Channels) > 0 {
		return tidings.Errorf(tidings.Forbidden, "the key is for some message types or channels only, and a cancellation key may stand for others: cancel by id")
	}
	var body struct {
		Key string `json:"cancellation_key"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if body.Key == "" || len(body.Key) > tidings.MaxKey {
		return fieldError(tidings.Invalid, "cancellation_key", "malformed", "1 to 255 bytes")
	}
	n, err := a.Store.CancelKey(r.Context(), application, body.Key)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, canceled{n})
}

// maxBody bounds the bodies of configuration and directory; those of messages have limits of their own.
const maxBody = 256 << 10

func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := middleware.ReadBody(w, r, maxBody)
	if err != nil {
		return err
	}
	return middleware.Decode(body, v)
}

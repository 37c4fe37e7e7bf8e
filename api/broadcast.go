package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Broadcasts is where broadcasts are looked up and steered.
type Broadcasts interface {
	Recipients(ctx context.Context, m tidings.Message, limit int) (found []tidings.Notification, size int, err error)
	Broadcast(ctx context.Context, application string, id tidings.ID) (tidings.Broadcast, error)
	Broadcasts(ctx context.Context, application string, q tidings.PageQuery) (bs []tidings.Broadcast, more bool, err error)
	SteerBroadcast(ctx context.Context, application string, id tidings.ID, to tidings.BroadcastState) error
	SetBroadcastRate(ctx context.Context, application string, id tidings.ID, rate int) error
	Reads(ctx context.Context, application string, id tidings.ID, q tidings.ReadQuery) (tidings.Reads, error)
	Proof(ctx context.Context, application string, id tidings.ID, line func(tidings.ProofLine) error) error
}

// broadcastRequest is the body of POST /v1/broadcasts: a message, and how it is carried.
type broadcastRequest struct {
	messageRequest
	Rate      int                   `json:"rate"`
	MustRead  bool                  `json:"must_read"`
	Reminders []tidings.NewReminder `json:"reminders"`
}

func (a *API) broadcastRoutes() []Route {
	const send, read = tidings.ScopeSend, tidings.ScopeReadMessages
	steer := application(send, auth.SteerBroadcasts)
	return []Route{
		{"POST", "/v1/broadcasts", steer, a.postBroadcast},
		{"POST", "/v1/broadcasts:verify", application(read, auth.ReadApplication), a.verifyProof},
		{"GET", "/v1/broadcasts", application(read, auth.ReadApplication), a.getBroadcasts},
		{"GET", "/v1/broadcasts/{id}", application(read, auth.ReadApplication), a.getBroadcast},
		{"POST", "/v1/broadcasts/{id}/pause", steer, a.steer(tidings.BroadcastPaused)},
		{"POST", "/v1/broadcasts/{id}/resume", steer, a.steer(tidings.BroadcastRunning)},
		{"POST", "/v1/broadcasts/{id}/cancel", steer, a.steer(tidings.BroadcastCanceled)},
		{"PUT", "/v1/broadcasts/{id}/rate", steer, a.putRate},
		{"GET", "/v1/broadcasts/{id}/reads", application(read, auth.ReadApplication), a.getReads},
		{"GET", "/v1/broadcasts/{id}/proof", application(read, auth.ReadApplication), a.getProof},
	}
}

func (a *API) postBroadcast(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	request, body, err := a.request(w, r, p, tidings.MaxBody)
	if err != nil {
		return err
	}
	m, err := a.broadcastOf(r.Context(), p, request.Application, body)
	if err != nil {
		return a.refuse(w, r, request, err)
	}
	request.Messages = []tidings.Message{m}
	request.Respond = func(ms []tidings.Message) []byte { return appendBroadcast(nil, ms[0].ID) }
	return a.accept(w, r, request)
}

func appendBroadcast(b []byte, id tidings.ID) []byte {
	self := "/v1/broadcasts/" + id.String()
	return append(b, `{"id":"`+id.String()+`","status":"accepted","links":{"self":"`+self+`","reads":"`+self+`/reads","proof":"`+self+`/proof"}}`+"\n"...)
}

// broadcastOf reads and checks a broadcast. One to everyone is for admins and operators alone: an application speaks to the merchants it names.
func (a *API) broadcastOf(ctx context.Context, p auth.Principal, application string, body []byte) (tidings.Message, error) {
	var b broadcastRequest
	if err := middleware.Decode(body, &b); err != nil {
		return tidings.Message{}, err
	}
	now := a.Now()
	m, err := a.check(ctx, application, &b.messageRequest, now)
	if err == nil {
		err = p.MayUse(m.Type, m.Channels...)
	}
	if err != nil {
		return m, err
	}
	if m.Audience.Everyone && (p.Kind != auth.Admin || p.Bound()) {
		return m, tidings.Errorf(tidings.Forbidden, "a broadcast to everyone is made by an admin or operator")
	}
	start := now
	if m.SendAt.After(now) {
		start = m.SendAt
	}
	reminders, errs := tidings.ReadReminders(b.Reminders, m, start)
	if b.Rate < 0 || b.Rate > tidings.MaxRate {
		errs.Add("rate", "out_of_range", "notifications a second, 0 (no limit) to 1000000")
	}
	if len(b.Reminders) > 0 && !b.MustRead {
		errs.Add("reminders", "not_allowed", "only a must_read broadcast has reminders")
	}
	if err := errs.Err(tidings.Unprocessable); err != nil {
		return m, err
	}
	m.Lane = tidings.Bulk
	m.Broadcast = &tidings.Broadcast{Rate: b.Rate, MustRead: b.MustRead, Reminders: reminders, CreatedBy: p.Actor("api").Account}
	if p.Kind == auth.Application {
		m.Broadcast.CreatedBy = application
	}
	_, m.Broadcast.Estimated, err = a.Store.Recipients(ctx, m, 1)
	return m, err
}

// Broadcast accepts a broadcast for somebody in the same process: the console. body is that of POST /v1/broadcasts, key an Idempotency-Key,
// so that a form that is sent twice is one broadcast.
func (a *API) Broadcast(ctx context.Context, p auth.Principal, application, key string, body []byte) (id tidings.ID, err error) {
	if err := a.active(ctx, application); err != nil {
		return 0, err
	}
	m, err := a.broadcastOf(ctx, p, application, body)
	if err != nil {
		return 0, err
	}
	ms, hash := []tidings.Message{m}, sha256.Sum256(body)
	if err := a.Platform.Admit(ctx, application, ms); err != nil {
		return 0, err
	}
	answer, err := a.Store.Accept(ctx, tidings.Request{Application: application, Messages: ms, Key: key, Hash: hex.EncodeToString(hash[:]),
		Respond: func(ms []tidings.Message) []byte { return appendBroadcast(nil, ms[0].ID) }})
	if err != nil {
		return 0, err
	}
	var accepted struct{ ID tidings.ID }
	err = json.Unmarshal(answer.Body, &accepted)
	return accepted.ID, err
}

func (a *API) getBroadcasts(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := applicationOf(p, q)
	if err != nil {
		return err
	}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if p.Kind == auth.Application && len(p.Types) > 0 {
		return tidings.Errorf(tidings.Forbidden, "the key is for some message types only: ask for a broadcast by its id")
	}
	items, more, err := a.Store.Broadcasts(r.Context(), application, page)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, newestFirst(items, more, page, func(b tidings.Broadcast) tidings.ID { return b.ID }))
}

func (a *API) getBroadcast(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := a.one(r, p, queryOf(r))
	if err != nil {
		return err
	}
	b, err := a.Store.Broadcast(r.Context(), application, id)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, b)
}

func (a *API) steer(to tidings.BroadcastState) handler {
	return func(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
		application, id, err := a.one(r, p, queryOf(r))
		if err != nil {
			return err
		}
		if err := a.Store.SteerBroadcast(r.Context(), application, id, to); err != nil {
			return err
		}
		return middleware.WriteJSON(w, http.StatusOK, struct {
			ID    tidings.ID             `json:"id"`
			State tidings.BroadcastState `json:"state"`
		}{id, to})
	}
}

func (a *API) putRate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := a.one(r, p, queryOf(r))
	if err != nil {
		return err
	}
	var body struct {
		Rate int `json:"rate"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if body.Rate < 0 || body.Rate > tidings.MaxRate {
		return fieldError(tidings.Invalid, "rate", "out_of_range", "notifications a second, 0 (no limit) to 1000000")
	}
	if err := a.Store.SetBroadcastRate(r.Context(), application, id, body.Rate); err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, body)
}

func (a *API) getReads(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	rq := tidings.ReadQuery{Region: q.given("region"), Merchant: q.given("merchant"), Store: q.given("store"), After: q.text("after"), Limit: q.limit()}
	application, id, err := a.one(r, p, q)
	if err != nil {
		return err
	}
	reads, err := a.Store.Reads(r.Context(), application, id, rq)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, reads)
}

// given reads a parameter that says something by being empty: a place without a name.
func (q *query) given(name string) *string {
	v := q.text(name)
	if _, ok := q.values[name]; !ok {
		return nil
	}
	return &v
}

func (a *API) getProof(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	format := q.text("format")
	if format != "" && format != "csv" && format != "jsonl" {
		q.errs.Add("format", "unknown", "csv or jsonl")
	}
	application, id, err := a.one(r, p, q)
	if err != nil {
		return err
	}
	return a.WriteProof(r.Context(), w, application, id, format)
}

// WriteProof answers with the proof of a must-read broadcast, a file in a format: csv or jsonl. An error comes before anything is written.
func (a *API) WriteProof(ctx context.Context, w http.ResponseWriter, application string, id tidings.ID, format string) error {
	b, err := a.Store.Broadcast(ctx, application, id)
	if err != nil {
		return err
	}
	if !b.MustRead {
		return tidings.Errorf(tidings.Conflict, "only a must-read notice has a proof")
	}
	kind, name := "text/csv; charset=utf-8", "proof-"+id.String()+".csv"
	if format == "jsonl" {
		kind, name = "application/jsonl", "proof-"+id.String()+".jsonl"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	proof, err := tidings.NewProof(w, format == "jsonl", tidings.ProofHead{Broadcast: id, Application: b.Application, Type: b.Type, MadeAt: a.Now().UTC().Truncate(time.Second)})
	if err == nil {
		err = a.Store.Proof(ctx, application, id, proof.Line)
	}
	if err == nil {
		err = proof.End(a.SignProof)
	}
	if err != nil { // the answer has begun: cut off, it has no seal, and verify says so
		a.Door.Logger.Error("a proof was cut off", "broadcast", id, "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (a *API) verifyProof(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, err := applicationOf(p, queryOf(r))
	if err != nil {
		return err
	}
	var seal tidings.ProofSeal
	if err := readJSON(w, r, &seal); err != nil {
		return err
	}
	if _, err := a.Store.Broadcast(r.Context(), application, seal.Broadcast); err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, map[string]bool{"valid": a.VerifyProof(seal)})
}

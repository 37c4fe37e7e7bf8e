package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Replays is where deliveries that ended without a success are found and sent again.
type Replays interface {
	DeadLetters(ctx context.Context, q tidings.DeadLetterQuery) (letters []tidings.DeadLetter, next tidings.DeliveryKey, more bool, err error)
	PlanReplay(ctx context.Context, r tidings.Replay, limit int) (tidings.ReplayPlan, error)
	PlanReplayAll(ctx context.Context, r tidings.Replay, each func(tidings.DeadLetter) error) (tidings.ReplayPlan, error)
	// CreateReplay records a replay, which the sweep carries out. again tells that there was one under its key already.
	CreateReplay(ctx context.Context, r tidings.Replay) (made tidings.Replay, again bool, err error)
	CancelReplay(ctx context.Context, application string, id tidings.ID) error
	Replay(ctx context.Context, application string, id tidings.ID) (tidings.Replay, error)
	Replays(ctx context.Context, application string, q tidings.PageQuery) (rs []tidings.Replay, more bool, err error)
	Replayed(ctx context.Context, application string, id tidings.ID, after tidings.DeliveryKey, limit int) (items []tidings.ReplayedDelivery, more bool, err error)
}

func (a *API) replayRoutes() []Route {
	const send, read = tidings.ScopeSend, tidings.ScopeReadMessages
	return []Route{
		{"GET", "/v1/dead-letters", application(read, auth.ReadApplication), a.getDeadLetters},
		{"POST", "/v1/replays", application(send, auth.ReplayDeliveries), a.postReplay},
		{"GET", "/v1/replays", application(read, auth.ReadApplication), a.getReplays},
		{"GET", "/v1/replays/{id}", application(read, auth.ReadApplication), a.getReplay},
		{"GET", "/v1/replays/{id}/deliveries", application(read, auth.ReadApplication), a.getReplayed},
		{"POST", "/v1/replays/{id}/cancel", application(send, auth.ReplayDeliveries), a.cancelReplay},
	}
}

// replayBody is the body of POST /v1/replays. Whether it is a dry run must be said: neither is a safe guess.
type replayBody struct {
	Filter    filterRequest `json:"filter"`
	ExpiresAt string        `json:"expires_at"`
	DryRun    *bool         `json:"dry_run"`
	Limit     int           `json:"limit"` // deliveries that a dry run shows
}

type filterRequest struct {
	tidings.ReplayFilter
	Since string `json:"since"`
	Until string `json:"until"`
}

// unbound refuses a key that is for some message types or channels only, where a filter does not stay within them.
func unbound(p auth.Principal, f tidings.ReplayFilter) error {
	if p.Kind != auth.Application {
		return nil
	}
	if len(p.Types) > 0 && f.Type == "" {
		return tidings.Errorf(tidings.Forbidden, "the key is for some message types only: the filter must name one of them")
	}
	if len(p.Channels) > 0 && len(f.Channels) == 0 {
		return tidings.Errorf(tidings.Forbidden, "the key is for some channels only: the filter must name them")
	}
	return p.MayUse(f.Type, f.Channels...)
}

func (a *API) postReplay(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := applicationOf(p, q)
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	body, err := middleware.ReadBody(w, r, tidings.MaxBody)
	if err != nil {
		return err
	}
	var b replayBody
	if err := middleware.Decode(body, &b); err != nil {
		return err
	}
	replay, err := a.replayOf(b, application)
	if err == nil {
		err = unbound(p, replay.Filter)
	}
	if err != nil {
		return err
	}
	if *b.DryRun && strings.Contains(r.Header.Get("Accept"), jsonLines) {
		return a.writePlan(w, r, replay)
	}
	if *b.DryRun {
		plan, err := a.Store.PlanReplay(r.Context(), replay, b.Limit)
		if err != nil {
			return err
		}
		return middleware.WriteJSON(w, http.StatusOK, plan)
	}
	if replay.MadeBy = p.Actor("api").Account; p.Kind == auth.Application {
		replay.MadeBy = application
	}
	if replay.Key = key; key != "" {
		replay.Hash = requestHash(r.Method, r.URL.Path, body)
	}
	made, again, err := a.Store.CreateReplay(r.Context(), replay)
	if err != nil {
		return err
	}
	if again {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return middleware.WriteJSON(w, http.StatusAccepted, made)
}

const jsonLines = "application/x-ndjson"

// writePlan answers with every delivery of a plan, a line each, however many they are, and its sums in the last line.
func (a *API) writePlan(w http.ResponseWriter, r *http.Request, replay tidings.Replay) error {
	out := bufio.NewWriter(w)
	begun := false
	line := func(v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if !begun {
			begun = true
			w.Header().Set("Content-Type", jsonLines)
			w.Header().Set("Cache-Control", "no-store")
		}
		_, err = out.Write(append(text, '\n'))
		return err
	}
	plan, err := a.Store.PlanReplayAll(r.Context(), replay, func(d tidings.DeadLetter) error { return line(d) })
	if err == nil {
		err = line(map[string]any{"plan": plan})
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil && begun { // cut off, it lacks its last line
		a.Door.Logger.Error("the plan of a replay was cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// replayOf reads and checks a replay.
func (a *API) replayOf(b replayBody, application string) (tidings.Replay, error) {
	r := tidings.Replay{Application: application, Filter: b.Filter.ReplayFilter}
	var errs tidings.FieldErrors
	r.Filter.Since, r.Filter.Until = readTime(&errs, "filter.since", b.Filter.Since), readTime(&errs, "filter.until", b.Filter.Until)
	r.ExpiresAt = readTime(&errs, "expires_at", b.ExpiresAt)
	if b.DryRun == nil {
		errs.Add("dry_run", "missing", "true shows what would be sent again, false sends it")
	}
	if b.Limit < 0 || b.Limit > tidings.MaxReplayDeliveries {
		errs.Add("limit", "out_of_range", "0 to 1000 deliveries to show")
	}
	errs = append(errs, r.Validate(a.Now())...)
	return r, errs.Err(tidings.Unprocessable)
}

func (a *API) getDeadLetters(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := applicationOf(p, q)
	if err != nil {
		return err
	}
	want := tidings.DeadLetterQuery{Application: application, Limit: q.limit(), ReplayFilter: tidings.ReplayFilter{
		States: asWords[tidings.State](q.names("state")), Reasons: asWords[tidings.Reason](q.names("reason")),
		Channels: asWords[tidings.Channel](q.names("channel")), Type: q.name("type"), Message: q.id("message"), Since: q.time("since"), Until: q.time("until")}}
	if len(want.States) == 0 {
		want.States = tidings.DefaultDead
	}
	if want.Before, err = parseDelivery(q.text("before")); err != nil {
		q.errs.Add("before", "malformed", "not a cursor that we gave out")
	}
	for _, e := range want.Validate() {
		q.errs.Add(strings.TrimPrefix(e.Field, "filter."), e.Code, e.Detail)
	}
	if err := q.err(); err != nil {
		return err
	}
	if err := unbound(p, want.ReplayFilter); err != nil {
		return err
	}
	letters, next, more, err := a.Store.DeadLetters(r.Context(), want)
	if err != nil {
		return err
	}
	page := pageOf[tidings.DeadLetter]{Data: letters, Page: cursor{More: more}}
	if page.Data == nil {
		page.Data = []tidings.DeadLetter{}
	}
	if more {
		page.Page.Before = next.String()
	}
	return middleware.WriteJSON(w, http.StatusOK, page)
}

func asWords[T ~string](names []string) (out []T) {
	for _, n := range names {
		out = append(out, T(n))
	}
	return out
}

// parseDelivery reads what DeliveryKey.String wrote; "" is none.
func parseDelivery(text string) (tidings.DeliveryKey, error) {
	if text == "" {
		return tidings.DeliveryKey{}, nil
	}
	return tidings.ParseDelivery(text)
}

func (a *API) getReplays(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := applicationOf(p, q)
	if err != nil {
		return err
	}
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	if err := wholeKey(p); err != nil {
		return err
	}
	items, more, err := a.Store.Replays(r.Context(), application, page)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, newestFirst(items, more, page, func(r tidings.Replay) tidings.ID { return r.ID }))
}

// wholeKey refuses a key that is for some message types or channels only: a replay may be of others.
func wholeKey(p auth.Principal) error {
	if p.Kind == auth.Application && len(p.Types)+len(p.Channels) > 0 {
		return tidings.Errorf(tidings.Forbidden, "the key is for some message types or channels only, and a replay may be of others")
	}
	return nil
}

// oneReplay reads which replay a request is about.
func oneReplay(r *http.Request, p auth.Principal, q *query) (application string, id tidings.ID, err error) {
	if application, err = applicationOf(p, q); err != nil {
		return "", 0, err
	}
	if err := q.err(); err != nil {
		return "", 0, err
	}
	if err := wholeKey(p); err != nil {
		return "", 0, err
	}
	if id, err = tidings.ParseID(r.PathValue("id")); err != nil || id == 0 {
		return "", 0, notFound("replay")
	}
	return application, id, nil
}

func (a *API) getReplay(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := oneReplay(r, p, queryOf(r))
	if err != nil {
		return err
	}
	replay, err := a.Store.Replay(r.Context(), application, id)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, replay)
}

func (a *API) getReplayed(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	limit := q.limit()
	after, err := parseDelivery(q.text("after"))
	if err != nil {
		q.errs.Add("after", "malformed", "not a cursor that we gave out")
	}
	application, id, err := oneReplay(r, p, q)
	if err != nil {
		return err
	}
	items, more, err := a.Store.Replayed(r.Context(), application, id, after, limit)
	if err != nil {
		return err
	}
	page := pageOf[tidings.ReplayedDelivery]{Data: items, Page: cursor{More: more}}
	if n := len(items); n > 0 {
		page.Page.After = items[n-1].DeliveryKey.String()
	}
	return middleware.WriteJSON(w, http.StatusOK, page)
}

func (a *API) cancelReplay(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := oneReplay(r, p, queryOf(r))
	if err != nil {
		return err
	}
	if err := a.Store.CancelReplay(r.Context(), application, id); err != nil {
		return err
	}
	replay, err := a.Store.Replay(r.Context(), application, id)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, replay)
}

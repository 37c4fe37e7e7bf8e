package console

import (
	"crypto/rand"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
)

func (c *Console) replayRoutes() []route {
	const list, one = root + "/replays", root + "/replays/{id}"
	return []route{
		{"GET", root + "/dead-letters", auth.OwnAccount, (*visit).getDeadLetters},
		{"GET", list, auth.OwnAccount, (*visit).getReplays},
		{"GET", list + "/new", auth.ReplayDeliveries, (*visit).newReplay},
		{"POST", list, auth.ReplayDeliveries, (*visit).postReplay},
		{"GET", one, auth.ReadApplication, (*visit).getReplay},
		{"POST", one + "/cancel", auth.ReplayDeliveries, (*visit).cancelReplay},
	}
}

// deadForm is a filter of dead letters as the pages' forms and addresses write it.
type deadForm struct {
	Application  string
	Applications []tidings.Application
	One          bool // only one application can be chosen
	MayReplay    bool
	States       []tidings.State
	Reason       tidings.Reason
	Channel      tidings.Channel
	Type         string
	Hours        string
	Deliveries   []string
	filter       tidings.ReplayFilter
}

// DeadStates and Reasons are what can be chosen.
func (deadForm) DeadStates() []tidings.State { return tidings.DeadStates }

// Reasons are those of deliveries without a success.
func (deadForm) Reasons() []tidings.Reason { return tidings.Reasons }

// deadForm reads a filter from an address or a form.
func (v *visit) deadForm(q url.Values) (f deadForm, err error) {
	f = deadForm{Application: q.Get("application"), One: v.me.Bound(), MayReplay: v.may(auth.ReplayDeliveries), Reason: tidings.Reason(q.Get("reason")),
		Channel: tidings.Channel(q.Get("channel")), Type: q.Get("type"), Hours: q.Get("hours"), Deliveries: q["delivery"]}
	if f.Applications, err = v.mine(); err != nil {
		return f, err
	}
	for _, s := range q["state"] {
		f.States = append(f.States, tidings.State(s))
	}
	if len(f.States) == 0 && len(f.Deliveries) == 0 {
		f.States = tidings.DefaultDead
	}
	f.filter = tidings.ReplayFilter{States: f.States, Type: f.Type}
	if f.Reason != "" {
		f.filter.Reasons = []tidings.Reason{f.Reason}
	}
	if f.Channel != "" {
		f.filter.Channels = []tidings.Channel{f.Channel}
	}
	for _, d := range f.Deliveries {
		k, err := tidings.ParseDelivery(d)
		if err != nil {
			return f, tidings.FieldErrors{{Field: "delivery", Code: "malformed", Detail: "message/user/channel"}}.Err(tidings.Invalid)
		}
		f.filter.Deliveries = append(f.filter.Deliveries, k)
	}
	if f.Hours != "" {
		hours, err := whole("hours", f.Hours)
		if err != nil {
			return f, err
		}
		f.filter.Since = v.Now().Add(-time.Duration(hours) * time.Hour)
	}
	if since := q.Get("since"); since != "" {
		if f.filter.Since, err = tidings.ParseTime(since); err != nil {
			return f, tidings.FieldErrors{{Field: "since", Code: "malformed", Detail: "2026-01-02T15:04:05Z"}}.Err(tidings.Invalid)
		}
	}
	return f, f.filter.Validate().Err(tidings.Invalid)
}

// Query is the filter as it stands in addresses. The time from which it looks is fixed, so that what is shown is what is sent.
func (f deadForm) Query() url.Values {
	q := url.Values{}
	for _, s := range f.States {
		q.Add("state", string(s))
	}
	for name, value := range map[string]string{"application": f.Application, "reason": string(f.Reason), "channel": string(f.Channel), "type": f.Type} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if !f.filter.Since.IsZero() {
		q.Set("since", f.filter.Since.UTC().Format(time.RFC3339))
	}
	for _, d := range f.Deliveries {
		q.Add("delivery", d)
	}
	return q
}

// deadPage is what dead-letters.html shows.
type deadPage struct {
	deadForm
	Letters      []tidings.DeadLetter
	Plan         string // where it is shown what a replay of all of them would do
	Newer, Older string
	Key          string
}

func (v *visit) getDeadLetters() error {
	f, err := v.deadForm(v.r.URL.Query())
	if err != nil {
		return err
	}
	p := deadPage{deadForm: f, Key: rand.Text()}
	if p.One && v.me.Application == "" {
		return v.show("dead-letters", v.t("nav.dead-letters"), nil, p)
	}
	q := tidings.DeadLetterQuery{ReplayFilter: f.filter, Limit: pageLength}
	if q.Application, err = v.scope(p.Application); err != nil {
		return err
	}
	if before := v.r.URL.Query().Get("before"); before != "" {
		if q.Before, err = tidings.ParseDelivery(before); err != nil {
			return tidings.FieldErrors{{Field: "before", Code: "malformed", Detail: before}}.Err(tidings.Invalid)
		}
	}
	letters, next, more, err := v.Record.DeadLetters(v.r.Context(), q)
	if err != nil {
		return err
	}
	keep := f.Query()
	p.Letters, p.Plan = letters, root+"/replays/new?"+keep.Encode()
	if more {
		keep.Set("before", next.String())
		p.Older = root + "/dead-letters?" + keep.Encode()
	}
	return v.show("dead-letters", v.t("nav.dead-letters"), nil, p)
}

// planPage is what replay-new.html shows: what a replay would do.
type planPage struct {
	deadForm
	Plan   tidings.ReplayPlan
	Fields url.Values // hidden in the form
	Expire string
	Key    string
}

// plan reads a replay and what it would do.
func (v *visit) plan(q url.Values) (r tidings.Replay, p planPage, err error) {
	if r.Application, err = v.scope(q.Get("application")); err != nil {
		return r, p, err
	}
	if p.deadForm, err = v.deadForm(q); err != nil {
		return r, p, err
	}
	r.Filter, p.Fields, p.Expire, p.Key = p.filter, p.Query(), q.Get("expire"), q.Get("key")
	if p.Expire != "" {
		hours, err := whole("expire", p.Expire)
		if err != nil {
			return r, p, err
		}
		r.ExpiresAt = v.Now().Add(time.Duration(hours) * time.Hour)
		p.Fields.Set("expire", strconv.Itoa(hours))
	}
	if p.Key == "" {
		p.Key = rand.Text()
	}
	return r, p, r.Validate(v.Now()).Err(tidings.Unprocessable)
}

func (v *visit) newReplay() error {
	r, p, err := v.plan(v.r.URL.Query())
	if err != nil {
		return err
	}
	if p.Plan, err = v.Record.PlanReplay(v.r.Context(), r, pageLength); err != nil {
		return err
	}
	return v.show("replay-new", v.t("replay.new"), v.replayCrumbs(), p)
}

func (v *visit) replayCrumbs() []crumb {
	return []crumb{{v.t("nav.dead-letters"), root + "/dead-letters"}, {v.t("replays"), root + "/replays"}}
}

func (v *visit) postReplay() error {
	r, p, err := v.plan(v.r.PostForm)
	if err != nil {
		return err
	}
	// The key makes a form that is sent twice one replay; another's cannot be hit, because it was drawn.
	r.MadeBy, r.Key, r.Hash = tidings.ActorOf(v.r.Context()).Account, "console:"+p.Key, p.Fields.Encode()
	made, _, err := v.Record.CreateReplay(v.r.Context(), r)
	if err != nil {
		return err
	}
	return v.leave(root+"/replays/"+made.ID.String(), "replay")
}

// replaysPage is what replays.html shows.
type replaysPage struct {
	Replays      []tidings.Replay
	One          bool
	Newer, Older string
}

func (v *visit) getReplays() error {
	p := replaysPage{One: v.me.Bound()}
	crumbs := v.replayCrumbs()[:1]
	if p.One && v.me.Application == "" {
		return v.show("replays", v.t("replays"), crumbs, p)
	}
	q := v.r.URL.Query()
	application, err := v.scope(q.Get("application"))
	if err != nil {
		return err
	}
	page := tidings.PageQuery{Limit: pageLength, After: cursor(q.Get("after"))}
	if page.After == 0 {
		page.Before = cursor(q.Get("before"))
	}
	more := false
	if p.Replays, more, err = v.Record.Replays(v.r.Context(), application, page); err != nil {
		return err
	}
	if n := len(p.Replays); n > 0 {
		if page.Before != 0 || page.After != 0 && more {
			p.Newer = root + "/replays?after=" + p.Replays[0].ID.String()
		}
		if page.After != 0 || more {
			p.Older = root + "/replays?before=" + p.Replays[n-1].ID.String()
		}
	}
	return v.show("replays", v.t("replays"), crumbs, p)
}

// replayPage is what replay.html shows.
type replayPage struct {
	tidings.Replay
	Items     []tidings.ReplayedDelivery
	Next      string
	Open      bool // something is still under way: the page asks again
	MayCancel bool
}

// oneReplay reads the replay that the path names.
func (v *visit) oneReplay() (r tidings.Replay, application string, err error) {
	id, err := tidings.ParseID(v.r.PathValue("id"))
	if err != nil {
		return r, "", tidings.Errorf(tidings.NotFound, "there is no such replay")
	}
	if application, err = v.scope(""); err != nil {
		return r, "", err
	}
	r, err = v.Record.Replay(v.r.Context(), application, id)
	return r, application, err
}

func (v *visit) getReplay() error {
	r, application, err := v.oneReplay()
	if err != nil {
		return err
	}
	p := replayPage{Replay: r, MayCancel: v.may(auth.ReplayDeliveries)}
	p.Open = r.State == tidings.ReplayRunning || slices.ContainsFunc([]tidings.State{tidings.Held, tidings.Queued, tidings.Sending}, func(s tidings.State) bool { return r.Now[s] > 0 })
	var after tidings.DeliveryKey
	if text := v.r.URL.Query().Get("after"); text != "" {
		if after, err = tidings.ParseDelivery(text); err != nil {
			return tidings.FieldErrors{{Field: "after", Code: "malformed", Detail: text}}.Err(tidings.Invalid)
		}
		p.Open = false // a page that somebody reads is left alone
	}
	more := false
	if p.Items, more, err = v.Record.Replayed(v.r.Context(), application, r.ID, after, pageLength); err != nil {
		return err
	}
	if n := len(p.Items); more && n > 0 {
		p.Next = root + "/replays/" + r.ID.String() + "?" + url.Values{"after": {p.Items[n-1].DeliveryKey.String()}}.Encode()
	}
	if v.r.Header.Get("HX-Request") == "true" {
		return v.part("replay", "replayed", p)
	}
	return v.show("replay", v.t("replay"), v.replayCrumbs(), p)
}

func (v *visit) cancelReplay() error {
	r, application, err := v.oneReplay()
	if err != nil {
		return err
	}
	if err := v.Record.CancelReplay(v.r.Context(), application, r.ID); err != nil {
		return err
	}
	return v.leave(root+"/replays/"+r.ID.String(), "replay-canceled")
}

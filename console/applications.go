package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/auth"
)

func (c *Console) applicationRoutes() []route {
	const one = root + "/applications/{app}"
	return []route{
		{"GET", root + "/applications", auth.OwnAccount, (*visit).getApplications},
		{"GET", root + "/apply", auth.ApplyApplication, (*visit).getApply},
		{"POST", root + "/apply", auth.ApplyApplication, (*visit).postApply},
		{"GET", one, auth.ReadApplication, (*visit).getApplication},
		{"POST", one + "/approve", auth.DecideApplication, (*visit).approveApplication},
		{"POST", one + "/reject", auth.DecideApplication, (*visit).rejectApplication},
		{"POST", one + "/suspend", auth.HaltApplication, setState(tidings.ApplicationSuspended, "suspended")},
		{"POST", one + "/resume", auth.HaltApplication, setState(tidings.ApplicationActive, "resumed")},
		{"POST", one + "/keys", auth.WriteKeys, (*visit).createKey},
		{"POST", one + "/keys/{key}/revoke", auth.WriteKeys, (*visit).revokeKey},
	}
}

// mine are the applications that the visitor may see: who belongs to none yet sees the one that he applied for.
func (v *visit) mine() ([]tidings.Application, error) {
	apps, err := v.Platform.Applications(v.r.Context())
	if err != nil || !v.me.Bound() {
		return apps, err
	}
	return slices.DeleteFunc(apps, func(a tidings.Application) bool {
		return a.ID != v.me.Application && (v.me.Application != "" || a.AppliedBy != v.me.Account)
	}), nil
}

// applicationsPage is what applications.html shows.
type applicationsPage struct {
	Own          string // the visitor's, where he sees no other
	Applications []tidings.Application
	State        string
	States       []tidings.ApplicationState
	MayApply     bool
	Bound        bool
}

func (v *visit) getApplications() error {
	apps, err := v.mine()
	if err != nil {
		return err
	}
	p := applicationsPage{Own: v.me.Application, State: v.r.URL.Query().Get("state"), MayApply: v.mayApply(), Bound: v.me.Bound(),
		States: []tidings.ApplicationState{tidings.ApplicationApplied, tidings.ApplicationActive, tidings.ApplicationSuspended, tidings.ApplicationRejected}}
	for _, a := range apps {
		if p.State == "" || string(a.State) == p.State {
			p.Applications = append(p.Applications, a)
		}
	}
	return v.show("applications", v.t("nav.applications"), nil, p)
}

// mayApply tells whether the visitor is offered to ask for an application: an admin always, a developer while he has none.
func (v *visit) mayApply() bool {
	return v.me.Role == tidings.RoleAdmin || v.me.Role == tidings.RoleDeveloper && v.me.Application == ""
}

// applyPage is what apply.html shows: the form as it was filled in.
type applyPage struct {
	tidings.Application
	Volume string
}

func (v *visit) getApply() error {
	return v.show("apply", v.t("apply"), v.applicationsCrumb(), applyPage{})
}

func (v *visit) applicationsCrumb() []crumb {
	return []crumb{{v.t("nav.applications"), root + "/applications"}}
}

func (v *visit) postApply() error {
	p := applyPage{Volume: v.value("volume"), Application: tidings.Application{ID: v.value("id"), Name: v.value("name"), Owner: v.value("owner"),
		Purpose: v.value("purpose"), Channels: v.channels("channels"), Origins: strings.Fields(v.value("origins"))}}
	var err error
	if p.Application.Volume, err = whole("volume", p.Volume); err == nil && v.may(auth.CreateApplication) {
		if _, err = v.Platform.CreateApplication(v.r.Context(), p.Application); err == nil {
			return v.leave(root+"/applications/"+p.ID, "admitted")
		}
	} else if err == nil {
		_, err = v.Platform.Apply(v.r.Context(), p.Application)
	}
	if err != nil {
		return v.showWrong(err, "apply", v.t("apply"), v.applicationsCrumb(), p)
	}
	return v.leave(root, "applied")
}

// whole reads a number that a form brings; nothing is 0.
func whole(field, s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, tidings.FieldErrors{{Field: field, Code: "malformed", Detail: "a whole number, 0 or more"}}.Err(tidings.Invalid)
	}
	return n, nil
}

// channels reads the channels that are ticked.
func (v *visit) channels(name string) []tidings.Channel {
	var cs []tidings.Channel
	for _, c := range v.r.PostForm[name] {
		cs = append(cs, tidings.Channel(c))
	}
	return cs
}

// applicationPage is what application.html shows.
type applicationPage struct {
	tidings.Application
	Keys     []tidings.Key
	Types    []tidings.MessageType
	Scopes   []string // that the visitor may grant
	Usage    usageView
	Secret   string // the key just made: shown this once
	SeeKeys  bool
	MayKeys  bool
	MayWrite bool
	MayJudge bool
	MayStop  bool
	Form     keyForm
}

const usagePatience = 3 * time.Second

// keyForm is the form for a key as it was filled in.
type keyForm struct {
	Name, Days string
	Scopes     []string
	Types      string
	Channels   []tidings.Channel
}

func (v *visit) getApplication() error {
	p, err := v.applicationPage()
	if err != nil {
		return err
	}
	return v.show("application", p.Name, v.applicationsCrumb(), p)
}

func (v *visit) applicationPage() (p applicationPage, err error) {
	ctx := v.r.Context()
	if !tidings.ValidName(v.app()) {
		return p, tidings.Errorf(tidings.NotFound, "there is no such application")
	}
	if p.Application, err = v.Platform.Application(ctx, v.app()); err != nil {
		return p, err
	}
	if p.Types, err = v.Platform.Types(ctx, v.app()); err != nil {
		return p, err
	}
	if p.SeeKeys = v.may(auth.ReadKeys); p.SeeKeys {
		if p.Keys, err = v.Platform.Keys(ctx, v.app()); err != nil {
			return p, err
		}
	}
	// To count what an application has sent may take long, and the page on which it is suspended must not wait for it.
	counting, cancel := context.WithTimeout(ctx, usagePatience)
	defer cancel()
	if p.Usage, err = v.usage(counting, v.app()); err != nil {
		v.Door.Logger.Warn("console: an application's usage was not counted", "application", v.app(), "error", err)
	}
	p.MayKeys, p.MayWrite, p.MayJudge, p.MayStop = v.may(auth.WriteKeys), v.may(auth.WriteTypes), v.may(auth.DecideApplication), v.may(auth.HaltApplication)
	p.Scopes = []string{tidings.ScopeSend, tidings.ScopeReadMessages, tidings.ScopeTemplates}
	if v.me.Role == tidings.RoleAdmin {
		p.Scopes = append(p.Scopes, tidings.ScopeDirectoryWrite, tidings.ScopeTokensMint, tidings.ScopeReceipts)
	}
	p.Form = keyForm{Scopes: []string{tidings.ScopeSend, tidings.ScopeReadMessages}, Days: "365"}
	return p, nil
}

func (v *visit) approveApplication() error {
	if _, err := v.Platform.Decide(v.r.Context(), v.app(), true, v.value("comment")); err != nil {
		return err
	}
	return v.leave(root+"/applications/"+v.app(), "approved")
}

func (v *visit) rejectApplication() error {
	if _, err := v.Platform.Decide(v.r.Context(), v.app(), false, v.value("comment")); err != nil {
		return err
	}
	return v.leave(root+"/applications/"+v.app(), "rejected")
}

func setState(s tidings.ApplicationState, done string) func(*visit) error {
	return func(v *visit) error {
		if _, err := v.Platform.SetState(v.r.Context(), v.app(), s); err != nil {
			return err
		}
		return v.leave(root+"/applications/"+v.app(), done)
	}
}

// createKey makes a key and shows it, this once: the answer to the form holds it, and no address does.
func (v *visit) createKey() error {
	p, err := v.applicationPage()
	if err != nil {
		return err
	}
	p.Form = keyForm{Name: v.value("name"), Days: v.value("days"), Scopes: v.r.PostForm["scopes"], Types: v.value("types"), Channels: v.channels("channels")}
	days, err := whole("days", p.Form.Days)
	want := tidings.Key{Kind: tidings.ApplicationKey, Application: v.app(), Name: p.Form.Name, Scopes: p.Form.Scopes,
		Types: strings.Fields(p.Form.Types), Channels: p.Form.Channels}
	if days > 0 {
		want.ExpiresAt = v.Now().AddDate(0, 0, days)
	}
	if err == nil {
		err = notGranted(p.Scopes, want.Scopes)
	}
	var shown string
	if err == nil {
		_, shown, err = v.Platform.CreateKey(v.r.Context(), want)
	}
	if err != nil {
		return v.showWrong(err, "application", p.Name, v.applicationsCrumb(), p)
	}
	if p, err = v.applicationPage(); err != nil {
		return err
	}
	p.Secret = shown
	return v.showAt(http.StatusCreated, "application", p.Name, v.applicationsCrumb(), p)
}

// notGranted refuses scopes that the visitor may not give.
func notGranted(may, want []string) error {
	for _, s := range want {
		if !slices.Contains(may, s) {
			return tidings.FieldErrors{{Field: "scopes", Code: "not_allowed", Detail: "only an admin grants " + s}}.Err(tidings.Forbidden)
		}
	}
	return nil
}

func (v *visit) revokeKey() error {
	if err := v.Platform.RevokeKey(v.r.Context(), v.app(), v.r.PathValue("key")); err != nil {
		return err
	}
	return v.leave(root+"/applications/"+v.app(), "revoked")
}

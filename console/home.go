package console

import (
	"tidings"
	"tidings/auth"
)

// homePage is what home.html shows: what waits for the visitor, and what happened last.
type homePage struct {
	Waiting      *reviewPage // of those who decide
	Applications []tidings.Application
	Own          *tidings.Application // of people of one application
	Mine         bool                 // he belongs to it, and has not only applied for it
	Drafts       []tidings.Template   // of it: what is not yet published
	Messages     []tidings.MessageStatus
	MayApply     bool
	MaySend      bool
	Paused       []Queue
	States       map[tidings.ApplicationState]int
}

// homeMessages is how many of the last messages the first page shows.
const homeMessages = 8

func (v *visit) getHome() error {
	p := homePage{MayApply: v.mayApply(), MaySend: v.may(auth.SendMessages), States: map[tidings.ApplicationState]int{}}
	apps, err := v.mine()
	if err != nil {
		return err
	}
	for _, a := range apps {
		p.States[a.State]++
	}
	if v.me.Bound() && len(apps) == 1 {
		p.Own, p.Mine = &apps[0], apps[0].ID == v.me.Application
		if p.Mine {
			p.Drafts, err = v.unpublished(apps[0].ID)
		}
		if err != nil {
			return err
		}
	}
	if v.may(auth.ReviewTemplates) {
		waiting, err := v.waiting()
		if err != nil {
			return err
		}
		p.Waiting = &waiting
	}
	if !v.me.Bound() || v.me.Application != "" {
		p.Messages, _, err = v.Record.Messages(v.r.Context(), tidings.MessageQuery{Application: v.me.Application, PageQuery: tidings.PageQuery{Limit: homeMessages}})
	}
	if err != nil {
		return err
	}
	if v.may(auth.RunInstallation) {
		p.Paused = v.paused()
	}
	return v.show("home", v.t("nav.home"), nil, p)
}

// paused are the queues that stand still; when they cannot be read the page about integrations says why.
func (v *visit) paused() (paused []Queue) {
	queues, err := v.Queues.List()
	if err != nil {
		v.Door.Logger.Warn("the queues cannot be read", "error", err)
	}
	for _, q := range queues {
		if q.Paused {
			paused = append(paused, q)
		}
	}
	return paused
}

// unpublished are the versions of an application that somebody has to go on with.
func (v *visit) unpublished(application string) (found []tidings.Template, err error) {
	types, err := v.Platform.Types(v.r.Context(), application)
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		versions, err := v.Platform.Templates(v.r.Context(), application, t.Name)
		if err != nil {
			return nil, err
		}
		for _, place := range places(versions) {
			switch newest := place.Versions[0]; newest.State {
			case tidings.TemplateDraft, tidings.TemplateSubmitted, tidings.TemplateApproved, tidings.TemplateRejected:
				found = append(found, newest)
			}
		}
	}
	return found, nil
}

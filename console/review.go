package console

import "tidings"

// reviewPage is what review.html shows: what waits for a decision.
type reviewPage struct {
	Applications []tidings.Application
	Templates    []tidings.Template
	Me           string
}

func (v *visit) getReview() error {
	p, err := v.waiting()
	if err != nil {
		return err
	}
	return v.show("review", v.t("nav.review"), nil, p)
}

// waiting gathers the applications and templates that wait for a decision.
func (v *visit) waiting() (p reviewPage, err error) {
	apps, err := v.Platform.Applications(v.r.Context())
	if err != nil {
		return p, err
	}
	for _, a := range apps {
		if a.State == tidings.ApplicationApplied {
			p.Applications = append(p.Applications, a)
		}
	}
	p.Me = v.me.Account
	p.Templates, err = v.Platform.Submitted(v.r.Context(), v.me.Application)
	return p, err
}

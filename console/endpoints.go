package console

import (
	"net/http"
	"time"

	"tidings"
	"tidings/auth"
)

func (c *Console) endpointRoutes() []route {
	const all = root + "/applications/{app}/endpoints"
	const one = all + "/{endpoint}"
	return []route{
		{"GET", all, auth.ReadEndpoints, (*visit).getEndpoints},
		{"POST", all, auth.WriteEndpoints, (*visit).createEndpoint},
		{"POST", one, auth.WriteEndpoints, (*visit).putEndpoint},
		{"POST", one + "/enable", auth.WriteEndpoints, enableEndpoint(true)},
		{"POST", one + "/disable", auth.WriteEndpoints, enableEndpoint(false)},
		{"POST", one + "/rotate", auth.WriteEndpoints, (*visit).rotateEndpoint},
		{"POST", one + "/test", auth.WriteEndpoints, (*visit).testEndpoint},
		{"POST", one + "/replay", auth.WriteEndpoints, (*visit).replayEndpoint},
		{"POST", one + "/delete", auth.WriteEndpoints, (*visit).deleteEndpoint},
	}
}

// endpointsPage is what endpoints.html shows.
type endpointsPage struct {
	Application tidings.Application
	Rows        []endpointRow
	Types       []tidings.EventType
	Form        tidings.Endpoint // as it was filled in
	Secret      string           // just made: shown this once
	MayWrite    bool
}

// endpointRow is an endpoint with its last events.
type endpointRow struct {
	tidings.Endpoint
	Last []tidings.Event
}

// lastEvents is how many events of an endpoint the page shows.
const lastEvents = 10

func (v *visit) endpointsPage() (p endpointsPage, err error) {
	ctx := v.r.Context()
	if !tidings.ValidName(v.app()) {
		return p, tidings.Errorf(tidings.NotFound, "there is no such application")
	}
	p = endpointsPage{Types: tidings.EventTypes, MayWrite: v.may(auth.WriteEndpoints),
		Form: tidings.Endpoint{Events: []tidings.EventType{tidings.EventOf(tidings.Delivered), tidings.EventOf(tidings.Failed), tidings.EventRead}}}
	if p.Application, err = v.Platform.Application(ctx, v.app()); err != nil {
		return p, err
	}
	all, err := v.Platform.Endpoints(ctx, v.app())
	for _, e := range all {
		row := endpointRow{Endpoint: e}
		if row.Last, _, err = v.Platform.Events(ctx, tidings.EventQuery{Application: v.app(), Endpoint: e.ID, PageQuery: tidings.PageQuery{Limit: lastEvents}}); err != nil {
			return p, err
		}
		p.Rows = append(p.Rows, row)
	}
	return p, err
}

func (v *visit) endpointCrumbs(a tidings.Application) []crumb {
	return append(v.applicationsCrumb(), crumb{a.Name, root + "/applications/" + a.ID})
}

func (v *visit) getEndpoints() error {
	p, err := v.endpointsPage()
	if err != nil {
		return err
	}
	return v.show("endpoints", v.t("endpoints"), v.endpointCrumbs(p.Application), p)
}

// endpointForm is the endpoint that the form describes.
func (v *visit) endpointForm() tidings.Endpoint {
	e := tidings.Endpoint{Application: v.app(), Name: v.value("name"), URL: v.value("url")}
	for _, t := range v.r.PostForm["events"] {
		e.Events = append(e.Events, tidings.EventType(t))
	}
	return e
}

// withSecret answers with the page and a secret, this once: no address holds it.
func (v *visit) withSecret(secret string) error {
	p, err := v.endpointsPage()
	if err != nil {
		return err
	}
	p.Secret = secret
	return v.showAt(http.StatusCreated, "endpoints", v.t("endpoints"), v.endpointCrumbs(p.Application), p)
}

func (v *visit) createEndpoint() error {
	_, secret, err := v.Platform.CreateEndpoint(v.r.Context(), v.endpointForm())
	if err != nil {
		return v.wrongEndpoint(err)
	}
	return v.withSecret(secret)
}

// wrongEndpoint shows the page with the form as it was filled in and what is wrong with it.
func (v *visit) wrongEndpoint(wrong error) error {
	p, err := v.endpointsPage()
	if err != nil {
		return err
	}
	p.Form = v.endpointForm()
	return v.showWrong(wrong, "endpoints", v.t("endpoints"), v.endpointCrumbs(p.Application), p)
}

func (v *visit) endpointID() (tidings.ID, error) {
	id, err := tidings.ParseID(v.r.PathValue("endpoint"))
	if err != nil {
		err = tidings.Errorf(tidings.NotFound, "there is no such endpoint")
	}
	return id, err
}

// onEndpoint does something with the endpoint in the path and goes back to the page.
func (v *visit) onEndpoint(done string, do func(id tidings.ID) error) error {
	id, err := v.endpointID()
	if err == nil {
		err = do(id)
	}
	if err != nil {
		return err
	}
	return v.leave(root+"/applications/"+v.app()+"/endpoints", done)
}

func (v *visit) putEndpoint() error {
	e, err := v.endpointForm(), error(nil)
	if e.ID, err = v.endpointID(); err != nil {
		return err
	}
	if _, err := v.Platform.PutEndpoint(v.r.Context(), e); err != nil {
		return v.wrongEndpoint(err)
	}
	return v.leave(root+"/applications/"+v.app()+"/endpoints", "endpoint")
}

func enableEndpoint(enable bool) func(*visit) error {
	return func(v *visit) error {
		return v.onEndpoint("endpoint", func(id tidings.ID) error {
			_, err := v.Platform.EnableEndpoint(v.r.Context(), v.app(), id, enable)
			return err
		})
	}
}

func (v *visit) rotateEndpoint() error {
	id, err := v.endpointID()
	if err != nil {
		return err
	}
	_, secret, err := v.Platform.RotateSecret(v.r.Context(), v.app(), id)
	if err != nil {
		return err
	}
	return v.withSecret(secret)
}

func (v *visit) testEndpoint() error {
	return v.onEndpoint("tested", func(id tidings.ID) error {
		_, err := v.Platform.TestEndpoint(v.r.Context(), v.app(), id)
		return err
	})
}

func (v *visit) replayEndpoint() error {
	hours, err := whole("hours", v.value("hours"))
	if err != nil {
		return v.wrongEndpoint(err)
	}
	r := tidings.EventReplay{Application: v.app(), Since: v.Now().Add(-time.Duration(max(1, min(hours, 720))) * time.Hour)}
	if v.value("failed") != "" {
		r.State = tidings.EventFailed
	}
	return v.onEndpoint("replayed", func(id tidings.ID) error {
		r.Endpoint = id
		_, err := v.Platform.ReplayEvents(v.r.Context(), r)
		return err
	})
}

func (v *visit) deleteEndpoint() error {
	return v.onEndpoint("removed", func(id tidings.ID) error { return v.Platform.DeleteEndpoint(v.r.Context(), v.app(), id) })
}

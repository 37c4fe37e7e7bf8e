package console

import (
	"context"
	"slices"
	"strconv"

	"tidings"
	"tidings/auth"
)

func (c *Console) integrationRoutes() []route {
	const one = root + "/integrations/{id}"
	return []route{
		{"GET", root + "/integrations/new", auth.WriteIntegrations, (*visit).newIntegration},
		{"GET", one, auth.ReadInstallation, (*visit).getIntegration},
		{"POST", one, auth.WriteIntegrations, (*visit).postIntegration},
		{"POST", one + "/pause", auth.RunInstallation, (*visit).pauseIntegration},
		{"POST", one + "/resume", auth.RunInstallation, (*visit).resumeIntegration},
		{"POST", one + "/delete", auth.WriteIntegrations, (*visit).deleteIntegration},
	}
}

// channelRow is a channel with its integrations, in the order in which they are tried.
type channelRow struct {
	Channel tidings.Channel
	Rows    []tidings.Integration
}

func (v *visit) integrations() (rows []channelRow, err error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), healthTime)
	defer cancel()
	all, err := v.Platform.Integrations(ctx)
	for _, i := range all {
		if n := len(rows); n == 0 || rows[n-1].Channel != i.Channel {
			rows = append(rows, channelRow{Channel: i.Channel})
		}
		rows[len(rows)-1].Rows = append(rows[len(rows)-1].Rows, i)
	}
	return rows, err
}

// integrationPage is what integration.html shows: the form that a driver's fields ask for, and how the integration fares.
type integrationPage struct {
	tidings.Integration
	New       bool
	MayWrite  bool
	MayRun    bool
	Providers []tidings.Driver
	Fields    []fieldRow
	RateText  string
}

// fieldRow is a setting of the driver in the form. Of a secret it never holds the value.
type fieldRow struct {
	tidings.Field
	Value string
	Kept  bool // a secret that is set
}

func (v *visit) integrationPageOf(i tidings.Integration) integrationPage {
	p := integrationPage{Integration: i, MayWrite: v.may(auth.WriteIntegrations) && !i.Environment, MayRun: v.may(auth.RunInstallation) && !i.Environment,
		Providers: v.Platform.Providers()}
	if i.Rate > 0 {
		p.RateText = strconv.FormatFloat(i.Rate, 'f', -1, 64)
	}
	for _, d := range p.Providers {
		if d.Provider != i.Provider {
			continue
		}
		p.Channel = d.Channel
		for _, f := range d.Fields {
			row := fieldRow{Field: f, Kept: slices.Contains(i.Secrets, f.Name)}
			if !f.Secret {
				row.Value = i.Settings[f.Name]
			}
			p.Fields = append(p.Fields, row)
		}
	}
	return p
}

func (v *visit) integrationCrumbs() []crumb { return []crumb{{v.t("nav.health"), root + "/health"}} }

func (v *visit) newIntegration() error {
	p := v.integrationPageOf(tidings.Integration{Provider: v.r.URL.Query().Get("provider")})
	p.New = true
	return v.show("integration", v.t("integration.new"), v.integrationCrumbs(), p)
}

func (v *visit) getIntegration() error {
	i, err := v.Platform.Integration(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.show("integration", i.ID, v.integrationCrumbs(), v.integrationPageOf(i))
}

// postIntegration keeps the form. It is about the integration in the path; that of a new one is "new", and the form names it.
func (v *visit) postIntegration() error {
	i := tidings.Integration{ID: v.r.PathValue("id"), Provider: v.value("provider"), Application: v.value("application"), Name: v.value("name"), Settings: map[string]string{}}
	isNew := i.ID == "new"
	if isNew {
		i.ID = v.value("id")
	} else {
		there, err := v.Platform.Integration(v.r.Context(), i.ID)
		if err != nil {
			return err
		}
		i.Provider, i.Secrets, i.State, i.Health = there.Provider, there.Secrets, there.State, there.Health
	}
	var errs tidings.FieldErrors
	number := func(field string) int {
		n, err := whole(field, v.value(field))
		if err != nil {
			errs.Add(field, "malformed", "a whole number, 0 or more")
		}
		return n
	}
	i.Order, i.Weight, i.Burst, i.Parallel = number("order"), number("weight"), number("burst"), number("parallel")
	if text := v.value("rate"); text != "" {
		var err error
		if i.Rate, err = strconv.ParseFloat(text, 64); err != nil {
			errs.Add("rate", "malformed", "a number of calls a second")
		}
	}
	for _, d := range v.Platform.Providers() {
		for _, f := range d.Fields {
			if value := v.value("set." + f.Name); d.Provider == i.Provider && (!f.Secret || value != "") { // an empty secret stays as it is
				i.Settings[f.Name] = value
			}
		}
	}
	_, there := v.Platform.Integration(v.r.Context(), i.ID)
	if isNew && there == nil {
		errs.Add("id", "taken", i.ID)
	}
	err := errs.Err(tidings.Invalid)
	if err == nil {
		_, err = v.Platform.PutIntegration(v.r.Context(), i)
	}
	if err != nil {
		p := v.integrationPageOf(i)
		p.New = isNew
		return v.showWrong(err, "integration", v.t("integration.new"), v.integrationCrumbs(), p)
	}
	return v.leave(root+"/integrations/"+i.ID, "saved")
}

func (v *visit) pauseIntegration() error  { return v.setIntegration(true) }
func (v *visit) resumeIntegration() error { return v.setIntegration(false) }

func (v *visit) setIntegration(pause bool) error {
	id := v.r.PathValue("id")
	if _, err := v.Platform.PauseIntegration(v.r.Context(), id, pause); err != nil {
		return err
	}
	return v.leave(root+"/integrations/"+id, "saved")
}

func (v *visit) deleteIntegration() error {
	if err := v.Platform.DeleteIntegration(v.r.Context(), v.r.PathValue("id")); err != nil {
		return err
	}
	return v.leave(root+"/health", "saved")
}

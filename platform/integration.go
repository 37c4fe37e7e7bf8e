package platform

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tidings"
)

// Integrating is where integrations are kept, and what the workers see of them.
type Integrating interface {
	Integrations(ctx context.Context) ([]tidings.Integration, error)
	Integration(ctx context.Context, id string) (tidings.Integration, error)
	// IntegrationSecrets is Integration with the secrets, to open it.
	IntegrationSecrets(ctx context.Context, id string) (tidings.Integration, map[string]string, error)
	// PutIntegration makes or changes one; change gets it as it stands (State "": there is none) and returns which secrets it set.
	PutIntegration(ctx context.Context, action, id string, change func(i *tidings.Integration, secrets map[string]string) ([]string, error)) (tidings.Integration, error)
	DeleteIntegration(ctx context.Context, id string) error
	Health(ctx context.Context, now time.Time) (map[string]tidings.IntegrationHealth, error)
}

// What an integration's numbers may be at most, and the bytes of its settings: a service account's key file takes 3 KB.
const (
	maxOrder    = 1000
	maxWeight   = 1000
	maxRate     = 100_000
	maxParallel = 1000
	maxSetting  = 16 << 10
)

// Providers are the drivers for which integrations can be configured, by channel and name.
func (p *Platform) Providers() []tidings.Driver {
	return slices.SortedFunc(slices.Values(p.drivers), func(a, b tidings.Driver) int {
		return strings.Compare(string(a.Channel)+" "+a.Provider, string(b.Channel)+" "+b.Provider)
	})
}

func (p *Platform) driver(provider string) (tidings.Driver, bool) {
	i := slices.IndexFunc(p.drivers, func(d tidings.Driver) bool { return d.Provider == provider })
	if i < 0 {
		return tidings.Driver{}, false
	}
	return p.drivers[i], true
}

// Integrations returns all integrations with their health, those of the environment among them, by channel and order.
func (p *Platform) Integrations(ctx context.Context) ([]tidings.Integration, error) {
	all, err := p.store.Integrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range p.environment {
		all = append(all, p.shown(c))
	}
	slices.SortStableFunc(all, func(a, b tidings.Integration) int {
		if c := slices.Index(tidings.Channels, a.Channel) - slices.Index(tidings.Channels, b.Channel); c != 0 {
			return c
		}
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, p.addHealth(ctx, all)
}

// Integration returns one with its health.
func (p *Platform) Integration(ctx context.Context, id string) (tidings.Integration, error) {
	c, ok := p.fromEnvironment(id)
	i := p.shown(c)
	if !ok {
		var err error
		if i, err = p.store.Integration(ctx, id); err != nil {
			return tidings.Integration{}, err
		}
	}
	one := []tidings.Integration{i}
	err := p.addHealth(ctx, one)
	return one[0], err
}

func (p *Platform) addHealth(ctx context.Context, all []tidings.Integration) error {
	health, err := p.store.Health(ctx, p.now())
	for n := range all {
		if h, ok := health[all[n].ID]; ok {
			all[n].Health = &h
		}
	}
	return err
}

func (p *Platform) fromEnvironment(id string) (tidings.Configured, bool) {
	i := slices.IndexFunc(p.environment, func(c tidings.Configured) bool { return c.ID == id })
	if i < 0 {
		return tidings.Configured{}, false
	}
	return p.environment[i], true
}

// shown is an integration of the environment as others see it: without the values of its secrets.
func (p *Platform) shown(c tidings.Configured) tidings.Integration {
	i := c.Integration
	i.Environment, i.Settings = true, map[string]string{}
	d, _ := p.driver(i.Provider)
	for _, f := range d.Fields {
		switch v := c.Values[f.Name]; {
		case v == "":
		case f.Secret:
			i.Secrets = append(i.Secrets, f.Name)
		default:
			i.Settings[f.Name] = v
		}
	}
	return i
}

// here refuses a change of what stands in the environment.
func (p *Platform) here(id string) error {
	if _, ok := p.fromEnvironment(id); ok {
		return tidings.Errorf(tidings.Conflict, "the integration %s stands in the environment of the processes (TIDINGS_%s_...): change it there", id, strings.ToUpper(id))
	}
	return nil
}

// PutIntegration makes an integration or replaces it; its Settings may hold secrets. A secret that is left out stays as it is, and
// an empty one is taken away. Without a State it stays in its state, or is active. Running workers act on it within 2 s.
func (p *Platform) PutIntegration(ctx context.Context, want tidings.Integration) (tidings.Integration, error) {
	if err := p.here(want.ID); err != nil {
		return tidings.Integration{}, err
	}
	d, errs := p.checkIntegration(want)
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Integration{}, err
	}
	if want.Application != "" {
		if _, err := p.store.Application(ctx, want.Application); err != nil {
			return tidings.Integration{}, err
		}
	}
	i, err := p.store.PutIntegration(ctx, "integration.put", want.ID, func(i *tidings.Integration, secrets map[string]string) ([]string, error) {
		if i.Provider != d.Provider {
			clear(secrets) // those of another provider's account
		}
		now := want
		now.Channel, now.State, now.Settings = d.Channel, first(want.State, i.State, tidings.IntegrationActive), map[string]string{}
		var set []string
		for _, f := range d.Fields {
			value, given := want.Settings[f.Name]
			switch {
			case !f.Secret && value != "":
				now.Settings[f.Name] = value
			case f.Secret && given && value == "":
				delete(secrets, f.Name)
			case f.Secret && given:
				secrets[f.Name] = value
			}
			if f.Secret && given {
				set = append(set, f.Name)
			}
		}
		*i = now
		_, err := p.open(d, *i, secrets)
		return set, err
	})
	return i, err
}

func first[T comparable](vs ...T) (zero T) {
	for _, v := range vs {
		if v != zero {
			return v
		}
	}
	return zero
}

// checkIntegration tells what is wrong with an integration before its driver is asked.
func (p *Platform) checkIntegration(i tidings.Integration) (tidings.Driver, tidings.FieldErrors) {
	var errs tidings.FieldErrors
	d, ok := p.driver(i.Provider)
	switch {
	case i.Provider == "":
		errs.Add("provider", "missing", "one of GET /v1/providers")
	case !ok:
		errs.Add("provider", "unknown", "none of GET /v1/providers")
	case i.Channel != "" && i.Channel != d.Channel:
		errs.Add("channel", "malformed", "the channel of "+d.Provider+" is "+string(d.Channel))
	}
	if !tidings.ValidName(i.ID) {
		errs.Add("id", "malformed", "1 to 64 of letters, digits and ._:@-")
	}
	if len(i.Name) > maxText {
		errs.Add("name", "too_long", "200 bytes at most")
	}
	if i.State != "" && i.State != tidings.IntegrationActive && i.State != tidings.IntegrationPaused {
		errs.Add("state", "malformed", "active or paused")
	}
	between := func(field string, n, most int) {
		if n < 0 || n > most {
			errs.Add(field, "out_of_range", "too small or too large")
		}
	}
	between("order", i.Order, maxOrder)
	between("weight", i.Weight, maxWeight)
	between("burst", i.Burst, maxRate)
	between("parallel", i.Parallel, maxParallel)
	if !(i.Rate >= 0 && i.Rate <= maxRate) || math.IsNaN(i.Rate) {
		errs.Add("rate", "out_of_range", "0 to 100000 calls a second")
	}
	for _, name := range slices.Sorted(maps.Keys(i.Settings)) {
		switch {
		case ok && !slices.ContainsFunc(d.Fields, func(f tidings.Field) bool { return f.Name == name }):
			errs.Add("settings."+name, "unknown", "is no field of "+d.Provider)
		case len(i.Settings[name]) > maxSetting:
			errs.Add("settings."+name, "too_long", "16 KB at most")
		}
	}
	return d, errs
}

// open makes a sender of an integration, to see whether it can be. What is said of a wrong setting holds no secret.
func (p *Platform) open(d tidings.Driver, i tidings.Integration, secrets map[string]string) (tidings.Sender, error) {
	values := maps.Clone(i.Settings)
	if values == nil {
		values = map[string]string{}
	}
	maps.Copy(values, secrets)
	values = d.Filled(values)
	var errs tidings.FieldErrors
	for _, f := range d.Fields {
		if f.Required && values[f.Name] == "" {
			errs.Add("settings."+f.Name, "missing", f.Help)
		}
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	s, err := d.Open(tidings.Setup{Integration: i.ID, Values: values, Now: p.now,
		ReportURL: func(tidings.ID) string { return "http://localhost/" }})
	if err == nil {
		return s, nil
	}
	hide := func(text string) string {
		for _, secret := range secrets {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "…")
			}
		}
		return text
	}
	if e, ok := errors.AsType[*tidings.Error](err); ok && len(e.Fields) > 0 {
		for _, f := range e.Fields {
			errs.Add("settings."+strings.TrimPrefix(f.Field, "settings."), f.Code, hide(f.Detail))
		}
	} else {
		errs.Add("settings", "malformed", hide(err.Error()))
	}
	return nil, errs.Err(tidings.Invalid)
}

// PauseIntegration stops or starts deliveries over an integration. What is under way ends.
func (p *Platform) PauseIntegration(ctx context.Context, id string, pause bool) (tidings.Integration, error) {
	if err := p.here(id); err != nil {
		return tidings.Integration{}, err
	}
	action, state := "integration.resume", tidings.IntegrationActive
	if pause {
		action, state = "integration.pause", tidings.IntegrationPaused
	}
	return p.store.PutIntegration(ctx, action, id, func(i *tidings.Integration, _ map[string]string) ([]string, error) {
		if i.State == "" {
			return nil, tidings.Errorf(tidings.NotFound, "there is no integration %s", id)
		}
		i.State = state
		return nil, nil
	})
}

// DeleteIntegration removes an integration. What was sent over it stays in the record.
func (p *Platform) DeleteIntegration(ctx context.Context, id string) error {
	if err := p.here(id); err != nil {
		return err
	}
	return p.store.DeleteIntegration(ctx, id)
}

// IntegrationCheck is what a look at an integration's settings found.
type IntegrationCheck struct {
	OK     bool                `json:"ok"`
	Errors tidings.FieldErrors `json:"errors,omitempty"`
}

// CheckIntegration opens an integration as a worker does, with its secrets, and tells what is wrong. It calls nobody: providers
// charge for calls.
func (p *Platform) CheckIntegration(ctx context.Context, id string) (IntegrationCheck, error) {
	c, ok := p.fromEnvironment(id)
	i, secrets := c.Integration, c.Values
	if !ok {
		var err error
		if i, secrets, err = p.store.IntegrationSecrets(ctx, id); err != nil {
			return IntegrationCheck{}, err
		}
	}
	d, ok := p.driver(i.Provider)
	if !ok {
		return IntegrationCheck{Errors: tidings.FieldErrors{{Field: "provider", Code: "unknown", Detail: "this version has no driver for it"}}}, nil
	}
	s, err := p.open(d, i, secrets)
	if e, ok := errors.AsType[*tidings.Error](err); ok {
		return IntegrationCheck{Errors: e.Fields}, nil
	}
	if closer, ok := s.(interface{ Close() }); ok {
		closer.Close()
	}
	return IntegrationCheck{OK: err == nil}, err
}

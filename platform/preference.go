package platform

import (
	"context"
	"slices"
	"strconv"

	"tidings"
)

// Preferring is where it is kept what users want to be sent.
type Preferring interface {
	// UserPreferences are those of a user, and the message types that reached him lately.
	UserPreferences(ctx context.Context, user string) (tidings.Preferences, []tidings.PreferenceType, error)
	// ChangePreferences replaces them by what change makes of them, under a lock.
	ChangePreferences(ctx context.Context, user string, change func(tidings.Preferences) (tidings.Preferences, error)) (tidings.Preferences, error)
}

// Preferences are what a user wants to be sent, with the message types that he has met and what of them may be muted. An
// application sees what is said of itself and of all; "" sees everything.
func (p *Platform) Preferences(ctx context.Context, user, application string) (tidings.Preferences, []tidings.PreferenceType, error) {
	w, met, err := p.store.UserPreferences(ctx, user)
	if application != "" {
		w.Rules = slices.DeleteFunc(w.Rules, func(r tidings.Preference) bool { return foreign(r.Application, application) })
		met = slices.DeleteFunc(met, func(t tidings.PreferenceType) bool { return foreign(t.Application, application) })
	}
	return w, met, err
}

// foreign tells whether a rule is about another application than the one that looks; "" is about all, and looks at all.
func foreign(about, looking string) bool { return about != "" && looking != "" && about != looking }

// PutPreferences replaces what a user wants to be sent; an application what is said of itself and of all. Running processes act
// on it within 2 s; what waits to be sent to him and is muted now is suppressed at once.
func (p *Platform) PutPreferences(ctx context.Context, w tidings.Preferences, application string) error {
	if err := w.Validate().Err(tidings.Invalid); err != nil {
		return err
	}
	var errs tidings.FieldErrors
	for i, r := range w.Rules {
		field := "rules[" + strconv.Itoa(i) + "]"
		if foreign(r.Application, application) {
			errs.Add(field+".application", "unknown", "there is no such application")
			continue
		}
		if r.Type == "" {
			continue
		}
		t, err := p.CurrentType(ctx, r.Application, r.Type)
		switch {
		case tidings.CodeOf(err) == tidings.NotFound:
			errs.Add(field+".type", "unknown", "there is no such message type")
		case err != nil:
			return err
		case r.Muted && r.Channel != "" && t.Must(r.Channel):
			errs.Add(field+".channel", "mandatory", "the message type cannot be muted on this channel")
		case r.Muted && r.Channel == "" && len(t.Mandatory) == len(t.Channels):
			errs.Add(field+".type", "mandatory", "the message type cannot be muted")
		}
	}
	if err := errs.Err(tidings.Unprocessable); err != nil {
		return err
	}
	_, err := p.store.ChangePreferences(ctx, w.User, func(old tidings.Preferences) (tidings.Preferences, error) {
		next := w // made anew each time: the transaction may be run again
		next.Rules = slices.Clone(w.Rules)
		for _, r := range old.Rules {
			if foreign(r.Application, application) {
				next.Rules = append(next.Rules, r)
			}
		}
		return next, nil
	})
	return err
}

// Subscribed tells what an unsubscribe link is about, as its holder meets it, and whether he has muted it.
func (p *Platform) Subscribed(ctx context.Context, s tidings.Subscription) (t tidings.PreferenceType, err error) {
	typ, err := p.CurrentType(ctx, s.Application, s.Type)
	if err != nil {
		return t, err
	}
	app, err := p.store.Application(ctx, s.Application)
	if err != nil {
		return t, err
	}
	w, _, err := p.store.UserPreferences(ctx, s.User)
	typ.Application, typ.Name = s.Application, s.Type
	t = w.Shown(typ)
	t.ApplicationName = app.Name
	return t, err
}

// Subscribe mutes what an unsubscribe link is about, or lets it through again, on behalf of the user to whom the link was sent.
func (p *Platform) Subscribe(ctx context.Context, s tidings.Subscription, muted bool) error {
	t, err := p.CurrentType(ctx, s.Application, s.Type)
	if err != nil {
		return err
	}
	if t.Must(s.Channel) {
		return tidings.Errorf(tidings.Conflict, "the message type cannot be muted on this channel")
	}
	ctx = tidings.WithActor(ctx, tidings.UserActor(s.User, "link"))
	_, err = p.store.ChangePreferences(ctx, s.User, func(w tidings.Preferences) (tidings.Preferences, error) {
		return w.Mute(s.Application, s.Type, s.Channel, muted), nil
	})
	return err
}

package sql

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"tidings"
)

// preferredAge is how long a process may go on not to know that users prefer something about a type that nobody had a
// preference about before. What is known to be preferred is asked for each segment.
const preferredAge = time.Second

// preferred keeps what any user has a preference about, so that the road asks for those of a segment only if there can be any.
type preferred struct {
	mu    sync.Mutex
	about map[[2]string]bool
	until time.Time
}

// preferredAny tells whether any user prefers something about types of an application.
func (db *DB) preferredAny(ctx context.Context, application string, types []string) (bool, error) {
	p := &db.preferred
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); !now.Before(p.until) {
		var rows []struct{ Application, Type string }
		if err := db.Select(ctx, &rows, "preferred"); err != nil {
			return false, err
		}
		about := make(map[[2]string]bool, len(rows))
		for _, r := range rows {
			about[[2]string{r.Application, r.Type}] = true
		}
		p.about, p.until = about, now.Add(preferredAge)
	}
	if len(p.about) == 0 {
		return false, nil
	}
	any := p.about[[2]string{}] || p.about[[2]string{application, ""}]
	for _, t := range types {
		any = any || p.about[[2]string{application, t}]
	}
	return any, nil
}

type preferenceRow struct {
	User        string `db:"user_id"`
	Application string
	Type        string
	Channel     string
	Muted       int
	Quiet       string
}

// add puts a row into the preferences of its user.
func (r preferenceRow) add(p *tidings.Preferences) error {
	if r.Quiet != "" {
		if err := json.Unmarshal([]byte(r.Quiet), &p.Quiet); err != nil {
			return err
		}
	}
	if r.Application != "" || r.Channel != "" || r.Muted == 1 { // else it is there for the quiet hours, and says what holds anyway
		p.Rules = append(p.Rules, tidings.Preference{Application: r.Application, Type: r.Type, Channel: tidings.Channel(r.Channel), Muted: r.Muted == 1})
	}
	return nil
}

// Preferences are those of users that may say something about types of an application; nil when nobody has any.
func (db *DB) Preferences(ctx context.Context, application string, types, users []string) (map[string]*tidings.Preferences, error) {
	if any, err := db.preferredAny(ctx, application, types); err != nil || !any {
		return nil, err
	}
	var rows []preferenceRow
	if err := db.Select(ctx, &rows, "preferences-of", columns(unique(users)), application); err != nil {
		return nil, err
	}
	of := make(map[string]*tidings.Preferences, len(rows))
	for _, r := range rows {
		if of[r.User] == nil {
			of[r.User] = &tidings.Preferences{User: r.User}
		}
		if err := r.add(of[r.User]); err != nil {
			return nil, err
		}
	}
	return of, nil
}

// UserPreferences are those of a user, who must be in the directory, and the message types that reached him lately.
func (db *DB) UserPreferences(ctx context.Context, user string) (p tidings.Preferences, met []tidings.PreferenceType, err error) {
	if _, err := db.User(ctx, user); err != nil {
		return p, nil, err
	}
	var rows []preferenceRow
	var types []struct{ Spec, Name string }
	if err := db.Select(ctx, &rows, "preferences", user); err != nil {
		return p, nil, err
	}
	if err := db.Select(ctx, &types, "types-met", user); err != nil {
		return p, nil, err
	}
	p = tidings.Preferences{User: user, Rules: []tidings.Preference{}}
	for _, r := range rows {
		if err := r.add(&p); err != nil {
			return p, nil, err
		}
	}
	for _, t := range types {
		typ, err := readType(t.Spec)
		if err != nil {
			return p, nil, err
		}
		shown := p.Shown(typ)
		shown.ApplicationName = t.Name
		met = append(met, shown)
	}
	return p, met, nil
}

// ChangePreferences changes those of a user, who must be in the directory, under a lock, and returns what change made of them.
// What waits to be sent to him and is muted now is not sent any more. Changes by the user himself are not written into the
// audit log: they are no configuration.
func (db *DB) ChangePreferences(ctx context.Context, user string, change func(tidings.Preferences) (tidings.Preferences, error)) (p tidings.Preferences, err error) {
	who := tidings.ActorOf(ctx)
	err = db.tx(ctx, func(t *tx) error {
		var id string
		if err := t.Get(ctx, &id, "lock-user", user); err != nil {
			return notFound(err, "user", user)
		}
		var rows []preferenceRow
		if err := t.Select(ctx, &rows, "preferences", user); err != nil {
			return err
		}
		p = tidings.Preferences{User: user, Rules: []tidings.Preference{}}
		for _, r := range rows {
			if err := r.add(&p); err != nil {
				return err
			}
		}
		if p, err = change(p); err != nil {
			return err
		}
		if err := t.putPreferences(ctx, p, who.Account); err != nil {
			return err
		}
		if err := t.muteWaiting(ctx, p); err != nil || who.Own(user) {
			return err
		}
		return t.append(ctx, "preferences.put", "user "+user, map[string]any{"rules": len(p.Rules), "quiet": p.Quiet != nil})
	})
	db.preferred.mu.Lock()
	db.preferred.until = time.Time{}
	db.preferred.mu.Unlock()
	return p, err
}

func (t *tx) putPreferences(ctx context.Context, p tidings.Preferences, by string) error {
	if _, err := t.Exec(ctx, "drop-preferences", p.User); err != nil {
		return err
	}
	quiet := tidings.Preference{}
	rows, times := []tidings.Preference{}, []string{}
	for _, r := range p.Rules {
		if r.Application == "" && r.Channel == "" {
			quiet = r // of all: written below
			continue
		}
		rows, times = append(rows, r), append(times, "")
	}
	if p.Quiet != nil || quiet.Muted {
		text := ""
		if p.Quiet != nil {
			text = mustJSON(p.Quiet)
		}
		rows, times = append(rows, quiet), append(times, text)
	}
	if len(rows) == 0 {
		return nil
	}
	applications := strs(rows, func(r tidings.Preference) string { return r.Application })
	types := strs(rows, func(r tidings.Preference) string { return r.Type })
	_, err := t.Exec(ctx, "insert-preferences", columns(applications, types, strs(rows, func(r tidings.Preference) string { return string(r.Channel) }),
		ints(rows, func(r tidings.Preference) int64 { return int64(bit(r.Muted)) }), times), p.User, by)
	if err == nil {
		_, err = t.Exec(ctx, "insert-preferred", columns(applications, types))
	}
	return err
}

// muteWaiting suppresses what waits to be sent to a user who does not want it any more.
func (t *tx) muteWaiting(ctx context.Context, p tidings.Preferences) error {
	var waiting []struct {
		Message                          int64 `db:"message_id"`
		Channel, Application, Type, Spec string
	}
	if err := t.Select(ctx, &waiting, "waiting-of-user", p.User); err != nil {
		return err
	}
	var messages []int64
	var channels []string
	for _, w := range waiting {
		typ, err := readType(w.Spec)
		if err != nil {
			return err
		}
		if c := tidings.Channel(w.Channel); !typ.Must(c) && p.Mutes(w.Application, w.Type, c) {
			messages, channels = append(messages, w.Message), append(channels, w.Channel)
		}
	}
	if len(messages) == 0 {
		return nil
	}
	_, err := t.Exec(ctx, "mute-waiting", columns(messages, channels), p.User, "\n")
	return err
}

// unsubscribe gives a call the link by which its user mutes the type, where its content shows it or its header does, as that of a mail (RFC 8058).
func (db *DB) unsubscribe(c *tidings.Call, s tidings.Segment, name string, t tidings.MessageType) {
	link := ""
	if db.link != nil && (c.Content.Marked() || s.Channel == tidings.Email && !t.Must(tidings.Email)) {
		link = db.link(tidings.Subscription{User: c.User, Application: s.Application, Type: name, Channel: s.Channel})
	}
	c.Content = c.Content.Unmarked(link)
	if !t.Must(s.Channel) {
		c.Unsubscribe = link
	}
}

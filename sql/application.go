package sql

import (
	"context"
	"encoding/json"

	"tidings"
)

type applicationRow struct {
	ID, Name, Owner   string
	State             tidings.ApplicationState
	Origins           string
	Purpose, Channels string
	Volume            int
	Comment           string
	AppliedBy         string `db:"applied_by"`
	DecidedBy         string `db:"decided_by"`
}

func (r applicationRow) application() (tidings.Application, error) {
	a := tidings.Application{ID: r.ID, Name: r.Name, Owner: r.Owner, State: r.State, Purpose: r.Purpose, Volume: r.Volume,
		Comment: r.Comment, AppliedBy: r.AppliedBy, DecidedBy: r.DecidedBy}
	if err := json.Unmarshal([]byte(r.Origins), &a.Origins); err != nil {
		return a, err
	}
	err := json.Unmarshal([]byte(r.Channels), &a.Channels)
	if len(a.Channels) == 0 {
		a.Channels = nil
	}
	return a, err
}

// CreateApplication writes a new application, active or applied for; one of that id already there is a Conflict, unless it
// was rejected and the same account applies again.
func (db *DB) CreateApplication(ctx context.Context, a tidings.Application) error {
	origins, channels, err := applicationLists(a)
	if err != nil {
		return err
	}
	action := "application.create"
	if a.State == tidings.ApplicationApplied {
		action = "application.apply"
	}
	err = db.changed(ctx, action, "application "+a.ID, a, func(t *tx) error {
		if a.State == tidings.ApplicationApplied {
			n, err := t.Exec(ctx, "apply-again", a.ID, a.Name, a.Owner, origins, a.Purpose, channels, a.Volume, a.AppliedBy)
			if err != nil || n > 0 {
				return err
			}
		}
		_, err := t.Exec(ctx, "create-application", a.ID, a.Name, a.Owner, a.State, origins, a.Purpose, channels, a.Volume, a.Comment,
			a.AppliedBy, a.DecidedBy)
		return err
	})
	if duplicate(err) {
		return tidings.Errorf(tidings.Conflict, "there is an application %s already", a.ID)
	}
	return err
}

// EditApplication writes what an application says of itself; its state stays.
func (db *DB) EditApplication(ctx context.Context, a tidings.Application) error {
	origins, channels, err := applicationLists(a)
	if err != nil {
		return err
	}
	return db.changed(ctx, "application.edit", "application "+a.ID, a, func(t *tx) error {
		n, err := t.Exec(ctx, "edit-application", a.ID, a.Name, a.Owner, origins, a.Purpose, channels, a.Volume)
		if err == nil && n == 0 {
			err = tidings.Errorf(tidings.NotFound, "there is no application %s", a.ID)
		}
		return err
	})
}

// applicationLists are an application's lists as their columns hold them.
func applicationLists(a tidings.Application) (origins, channels string, err error) {
	if origins, err = listJSON(a.Origins); err != nil {
		return "", "", err
	}
	channels, err = listJSON(a.Channels)
	return origins, channels, err
}

// Application reads an application.
func (db *DB) Application(ctx context.Context, id string) (tidings.Application, error) {
	var r applicationRow
	if err := db.Get(ctx, &r, "application", id); err != nil {
		return tidings.Application{}, notFound(err, "application", id)
	}
	return r.application()
}

// Applications reads all applications in order of their ids.
func (db *DB) Applications(ctx context.Context) ([]tidings.Application, error) {
	var rows []applicationRow
	if err := db.Select(ctx, &rows, "applications"); err != nil {
		return nil, err
	}
	return each(rows, applicationRow.application)
}

// DecideApplication approves or rejects what was applied for. Of two deciding at once one wins, and the other is a Conflict;
// who applied is Forbidden. On approval a developer who applied and has no application becomes this one's.
func (db *DB) DecideApplication(ctx context.Context, id string, state tidings.ApplicationState, comment string) error {
	action, by := "application.approve", tidings.ActorOf(ctx).Account
	if state == tidings.ApplicationRejected {
		action = "application.reject"
	}
	return db.changed(ctx, action, "application "+id, map[string]string{"comment": comment}, func(t *tx) error {
		var r applicationRow
		if err := t.Get(ctx, &r, "lock-application", id); err != nil {
			return notFound(err, "application", id)
		}
		n, err := t.Exec(ctx, "decide-application", id, state, comment, by)
		switch {
		case err != nil:
			return err
		case n == 0 && r.State == tidings.ApplicationApplied:
			return tidings.Errorf(tidings.Forbidden, "nobody decides on an application of his own")
		case n == 0:
			return tidings.Errorf(tidings.Conflict, "the application %s is %s already", id, r.State)
		case state == tidings.ApplicationActive:
			_, err = t.Exec(ctx, "adopt-account", r.AppliedBy, id)
		}
		return err
	})
}

// SetApplicationState suspends an active application or lets a suspended one send again, with what was held meanwhile.
func (db *DB) SetApplicationState(ctx context.Context, id string, state tidings.ApplicationState) error {
	action := "application.suspend"
	if state == tidings.ApplicationActive {
		action = "application.resume"
	}
	defer db.suspended.forget()
	return db.changed(ctx, action, "application "+id, nil, func(t *tx) error {
		var r applicationRow
		if err := t.Get(ctx, &r, "lock-application", id); err != nil {
			return notFound(err, "application", id)
		}
		n, err := t.Exec(ctx, "set-application-state", id, state)
		if err == nil && n == 0 {
			err = tidings.Errorf(tidings.Conflict, "the application %s is %s", id, r.State)
		}
		if err == nil && state == tidings.ApplicationActive {
			err = t.resume(ctx, id)
		}
		return err
	})
}

// listJSON writes a list as JSON; none is [].
func listJSON[T any](list []T) (string, error) {
	if list == nil {
		list = []T{}
	}
	b, err := json.Marshal(list)
	return string(b), err
}

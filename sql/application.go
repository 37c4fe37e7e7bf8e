package sql

import (
	"context"
	"encoding/json"

	"tidings"
)

type applicationRow struct {
	ID, Name, Owner string
	State           tidings.ApplicationState
	Origins         string
}

func (r applicationRow) application() (tidings.Application, error) {
	a := tidings.Application{ID: r.ID, Name: r.Name, Owner: r.Owner, State: r.State}
	return a, json.Unmarshal([]byte(r.Origins), &a.Origins)
}

// CreateApplication writes a new application; one of that id already there is a Conflict.
func (db *DB) CreateApplication(ctx context.Context, a tidings.Application) error {
	origins, err := listJSON(a.Origins)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "create-application", a.ID, a.Name, a.Owner, a.State, origins)
	if duplicate(err) {
		return tidings.Errorf(tidings.Conflict, "there is an application %s already", a.ID)
	}
	return err
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

// SetApplicationState suspends an application or lets it send again.
func (db *DB) SetApplicationState(ctx context.Context, id string, state tidings.ApplicationState) error {
	n, err := db.Exec(ctx, "set-application-state", id, state)
	if err == nil && n == 0 {
		err = tidings.Errorf(tidings.NotFound, "there is no application %s", id)
	}
	return err
}

// listJSON writes a list as JSON; none is [].
func listJSON(list []string) (string, error) {
	if list == nil {
		list = []string{}
	}
	b, err := json.Marshal(list)
	return string(b), err
}

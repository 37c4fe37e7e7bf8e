package sql

import (
	"context"
	"encoding/json"

	"tidings"
)

// PutType writes a message type, new or known, of an application that must exist.
func (db *DB) PutType(ctx context.Context, t tidings.MessageType) error {
	spec, err := json.Marshal(t)
	if err != nil {
		return err
	}
	err = db.changed(ctx, "type.put", "type "+t.Application+"/"+t.Name, t, func(x *tx) error {
		_, err := x.Exec(ctx, "put-type", t.Application, t.Name, string(spec))
		return err
	})
	if missingReference(err) {
		return tidings.Errorf(tidings.NotFound, "there is no application %s", t.Application)
	}
	return err
}

// Type reads a message type of an application.
func (db *DB) Type(ctx context.Context, application, name string) (tidings.MessageType, error) {
	var spec string
	if err := db.Get(ctx, &spec, "type", application, name); err != nil {
		return tidings.MessageType{}, notFound(err, "message type", name)
	}
	return readType(spec)
}

// Types reads the message types of an application in order of their names.
func (db *DB) Types(ctx context.Context, application string) ([]tidings.MessageType, error) {
	var specs []string
	if err := db.Select(ctx, &specs, "types", application); err != nil {
		return nil, err
	}
	return each(specs, readType)
}

func readType(spec string) (t tidings.MessageType, err error) {
	return t, json.Unmarshal([]byte(spec), &t)
}

package sql

import (
	"context"
	"encoding/json"

	"tidings"
)

type keyRow struct {
	ID          string
	Kind        tidings.KeyKind
	Application string
	Dimension   string
	Role        tidings.Role
	Name        string
	Scopes      string
	Hash        string
	Last4       string
	CreatedAt   int64 `db:"created_at"`
	ExpiresAt   int64 `db:"expires_at"`
	RevokedAt   int64 `db:"revoked_at"`
}

func (r keyRow) key() (tidings.Key, error) {
	k := tidings.Key{ID: r.ID, Kind: r.Kind, Application: r.Application, Dimension: r.Dimension, Role: r.Role, Name: r.Name,
		Hash: r.Hash, Last4: r.Last4, CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt), RevokedAt: timeOf(r.RevokedAt)}
	return k, json.Unmarshal([]byte(r.Scopes), &k.Scopes)
}

// CreateKey writes a new key. Its CreatedAt is the database's now.
func (db *DB) CreateKey(ctx context.Context, k tidings.Key) error {
	scopes, err := listJSON(k.Scopes)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "create-key", k.ID, k.Kind, k.Application, k.Dimension, k.Role, k.Name, scopes, k.Hash, k.Last4,
		micros(k.ExpiresAt))
	if duplicate(err) {
		return tidings.Errorf(tidings.Conflict, "there is a key %s already", k.ID)
	}
	return err
}

// Key reads a key, also one that has expired or was revoked: the caller judges.
func (db *DB) Key(ctx context.Context, id string) (tidings.Key, error) {
	var r keyRow
	if err := db.Get(ctx, &r, "key", id); err != nil {
		return tidings.Key{}, notFound(err, "key", id)
	}
	return r.key()
}

// Keys reads the keys of an application ("": all keys), the oldest first.
func (db *DB) Keys(ctx context.Context, application string) ([]tidings.Key, error) {
	var rows []keyRow
	if err := db.Select(ctx, &rows, "keys", application); err != nil {
		return nil, err
	}
	return each(rows, keyRow.key)
}

// RevokeKey ends a key of the application ("": whosesoever it is). Another application's key is not found.
func (db *DB) RevokeKey(ctx context.Context, application, id string) error {
	n, err := db.Exec(ctx, "revoke-key", application, id)
	if err == nil && n == 0 {
		err = tidings.Errorf(tidings.NotFound, "there is no key %s", id)
	}
	return err
}

package sql

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"tidings"
)

type keyRow struct {
	ID          string
	Kind        tidings.KeyKind
	Application string
	Dimension   string
	Role        tidings.Role
	Account     string
	MadeBy      string `db:"made_by"`
	Name        string
	Scopes      string
	Types       string
	Channels    string
	Hash        string
	Last4       string
	CreatedAt   int64 `db:"created_at"`
	ExpiresAt   int64 `db:"expires_at"`
	RevokedAt   int64 `db:"revoked_at"`
	LastUsed    int64 `db:"last_used"`
}

func (r keyRow) key() (tidings.Key, error) {
	k := tidings.Key{ID: r.ID, Kind: r.Kind, Application: r.Application, Dimension: r.Dimension, Role: r.Role, Name: r.Name,
		Account: r.Account, MadeBy: r.MadeBy, LastUsed: timeOf(r.LastUsed), Hash: r.Hash, Last4: r.Last4, CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt), RevokedAt: timeOf(r.RevokedAt)}
	if err := json.Unmarshal([]byte(r.Scopes), &k.Scopes); err != nil {
		return k, err
	}
	if r.Types != "[]" {
		if err := json.Unmarshal([]byte(r.Types), &k.Types); err != nil {
			return k, err
		}
	}
	if r.Channels != "[]" {
		if err := json.Unmarshal([]byte(r.Channels), &k.Channels); err != nil {
			return k, err
		}
	}
	return k, nil
}

// activeKeys is how many keys of an application may be good at once: the one in use, and the one that takes its place.
const activeKeys = 2

// CreateKey writes a new key. Its CreatedAt is the database's now. A third good key of an application is a Conflict.
func (db *DB) CreateKey(ctx context.Context, k tidings.Key) error {
	scopes, err := listJSON(k.Scopes)
	if err != nil {
		return err
	}
	types, err := listJSON(k.Types)
	if err != nil {
		return err
	}
	channels, err := listJSON(k.Channels)
	if err != nil {
		return err
	}
	err = db.changed(ctx, "key.create", "key "+k.ID, k, func(t *tx) error {
		if k.Kind == tidings.ApplicationKey {
			if err := t.roomForKey(ctx, k.Application); err != nil {
				return err
			}
		}
		_, err := t.Exec(ctx, "create-key", k.ID, k.Kind, k.Application, k.Dimension, k.Role, k.Account, k.MadeBy, k.Name, scopes, types,
			channels, k.Hash, k.Last4, micros(k.ExpiresAt))
		return err
	})
	if duplicate(err) {
		return tidings.Errorf(tidings.Conflict, "there is a key %s already", k.ID)
	}
	return err
}

// roomForKey locks the application, so that of two keys made at once the second sees the first.
func (t *tx) roomForKey(ctx context.Context, application string) error {
	var a applicationRow
	if err := t.Get(ctx, &a, "lock-application", application); err != nil && !noRows(err) {
		return err
	}
	var n int
	if err := t.Get(ctx, &n, "active-keys", application); err != nil {
		return err
	}
	if n >= activeKeys {
		return tidings.Errorf(tidings.Conflict, "the application has two keys; revoke one that is not in use any more")
	}
	return nil
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

// AccountKeys reads the keys of an account, the oldest first.
func (db *DB) AccountKeys(ctx context.Context, account string) ([]tidings.Key, error) {
	var rows []keyRow
	if err := db.Select(ctx, &rows, "account-keys", account); err != nil {
		return nil, err
	}
	return each(rows, keyRow.key)
}

// RevokeKey ends a key of the application ("": whosesoever it is). Another application's key is not found.
func (db *DB) RevokeKey(ctx context.Context, application, id string) error {
	return db.changed(ctx, "key.revoke", "key "+id, nil, func(t *tx) error {
		n, err := t.Exec(ctx, "revoke-key", application, id)
		if err == nil && n == 0 {
			err = tidings.Errorf(tidings.NotFound, "there is no key %s", id)
		}
		return err
	})
}

// KeysUsed notes when keys were used last.
func (db *DB) KeysUsed(ctx context.Context, used map[string]time.Time) error {
	ids := slices.Sorted(maps.Keys(used)) // in one order, so that two processes do not wait for each other
	if len(ids) == 0 {
		return nil
	}
	return db.relaxed(ctx, func(t *tx) error {
		_, err := t.Exec(ctx, "keys-used", columns(ids, ints(ids, func(id string) int64 { return micros(used[id]) })))
		return err
	})
}

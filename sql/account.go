package sql

import (
	"context"
	"time"

	"tidings"
)

type accountRow struct {
	ID, Name    string
	Role        tidings.Role
	Application string
	Locale      string
	State       tidings.AccountState
	Hash        string
	CreatedAt   int64 `db:"created_at"`
	SignedInAt  int64 `db:"signed_in_at"`
}

func (r accountRow) account() tidings.Account {
	return tidings.Account{ID: r.ID, Name: r.Name, Role: r.Role, Application: r.Application, Locale: r.Locale, State: r.State,
		Hash: r.Hash, CreatedAt: timeOf(r.CreatedAt), SignedInAt: timeOf(r.SignedInAt)}
}

// CreateAccount writes a new account; one of that id already there is a Conflict.
func (db *DB) CreateAccount(ctx context.Context, a tidings.Account) error {
	err := db.changed(ctx, "account.create", "account "+a.ID, a, func(t *tx) error {
		_, err := t.Exec(ctx, "create-account", a.ID, a.Name, a.Role, a.Application, a.Locale, a.State, a.Hash)
		return err
	})
	if duplicate(err) {
		return tidings.Errorf(tidings.Conflict, "there is an account %s already", a.ID)
	}
	return err
}

// Account reads an account, also a disabled one: the caller judges.
func (db *DB) Account(ctx context.Context, id string) (tidings.Account, error) {
	var r accountRow
	err := db.Get(ctx, &r, "account", id)
	return r.account(), notFound(err, "account", id)
}

// Accounts reads all accounts in order of their ids.
func (db *DB) Accounts(ctx context.Context) ([]tidings.Account, error) {
	var rows []accountRow
	if err := db.Select(ctx, &rows, "accounts"); err != nil {
		return nil, err
	}
	return each(rows, func(r accountRow) (tidings.Account, error) { return r.account(), nil })
}

// UpdateAccount changes an account. Its sessions end unless what is changed is only its name or language.
func (db *DB) UpdateAccount(ctx context.Context, id string, change func(*tidings.Account) error) (a tidings.Account, err error) {
	err = db.tx(ctx, func(t *tx) error {
		var r accountRow
		if err := t.Get(ctx, &r, "lock-account", id); err != nil {
			return notFound(err, "account", id)
		}
		before := r.account()
		a = before
		if err := change(&a); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "update-account", id, a.Name, a.Role, a.Application, a.Locale, a.State, a.Hash); err != nil {
			return err
		}
		if a.Role != before.Role || a.Hash != before.Hash || a.State != before.State || a.Application != before.Application {
			if _, err := t.Exec(ctx, "end-sessions", id); err != nil {
				return err
			}
		}
		detail := struct {
			tidings.Account
			Password bool `json:"password_changed,omitempty"`
		}{a, a.Hash != before.Hash}
		return t.append(ctx, "account.change", "account "+id, detail)
	})
	return a, err
}

type sessionRow struct {
	Hash, Account, Credential string
	CreatedAt                 int64 `db:"created_at"`
	SeenAt                    int64 `db:"seen_at"`
	ExpiresAt                 int64 `db:"expires_at"`
}

// CreateSession begins a session and notes that its account signed in. Sessions that ended are forgotten on the way.
func (db *DB) CreateSession(ctx context.Context, s tidings.Session) error {
	return db.changed(ctx, "session.begin", "account "+s.Account, nil, func(t *tx) error {
		if _, err := t.Exec(ctx, "forget-sessions", micros(s.CreatedAt)); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "signed-in", s.Account); err != nil {
			return err
		}
		_, err := t.Exec(ctx, "insert-session", s.Hash, s.Account, s.Credential, micros(s.CreatedAt), micros(s.ExpiresAt))
		return err
	})
}

// Session reads a session by the hash of its token, also one that is over: the caller judges.
func (db *DB) Session(ctx context.Context, hash string) (tidings.Session, error) {
	var r sessionRow
	err := db.Get(ctx, &r, "session", hash)
	return tidings.Session{Hash: r.Hash, Account: r.Account, Credential: r.Credential, CreatedAt: timeOf(r.CreatedAt),
		SeenAt: timeOf(r.SeenAt), ExpiresAt: timeOf(r.ExpiresAt)}, notFound(err, "session", "of that token")
}

// SessionSeen notes that a session is in use.
func (db *DB) SessionSeen(ctx context.Context, hash string, at time.Time) error {
	_, err := db.Exec(ctx, "session-seen", hash, micros(at))
	return err
}

// EndSession ends a session; one that is not there has ended.
func (db *DB) EndSession(ctx context.Context, hash string) error {
	_, err := db.Exec(ctx, "end-session", hash)
	return err
}

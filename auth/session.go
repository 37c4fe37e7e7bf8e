package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"

	"tidings"
)

// People is where accounts and their sessions are kept.
type People interface {
	Account(ctx context.Context, id string) (tidings.Account, error)
	CreateSession(ctx context.Context, s tidings.Session) error
	Session(ctx context.Context, hash string) (tidings.Session, error)
	SessionSeen(ctx context.Context, hash string, at time.Time) error
	EndSession(ctx context.Context, hash string) error
	Note(ctx context.Context, action, object string, detail any) error
}

const (
	// SessionTime is how long a session may last: a working day.
	SessionTime = 12 * time.Hour
	// sessionIdle ends a session that nobody used.
	sessionIdle = 2 * time.Hour
	// sessionSeen is how exactly its use is noted.
	sessionSeen = time.Minute
)

type addressKey struct{}

// WithAddress says from which address somebody signs in.
func WithAddress(ctx context.Context, ip netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, ip)
}

// errSignIn answers every sign-in that fails: it must not tell whether the account exists.
func errSignIn() error {
	return tidings.Errorf(tidings.Unauthenticated, "the account or the password is wrong")
}

// SignIn begins a session for an account with its password. The account "root" or "" takes the admin token or a key of an
// admin instead. The token is a new one each time, and is not kept. Too many wrong ones for the account or from the address
// that WithAddress named are TooMany.
func (a *Authenticator) SignIn(ctx context.Context, account, password string) (token string, p Principal, err error) {
	ip, _ := ctx.Value(addressKey{}).(netip.Addr)
	names := []string{"address " + network(ip)}
	if account != "" && account != tidings.RootAccount {
		names = append(names, "account "+account)
	}
	now := a.now()
	if wait := a.failed.try(now, names); wait > 0 {
		return "", p, &tidings.Error{Code: tidings.TooMany, Detail: "too many wrong passwords; try again later", After: wait}
	}
	p, err = a.signedIn(ctx, account, password)
	if tidings.CodeOf(err) != tidings.Unauthenticated {
		a.failed.right(names)
	}
	if err != nil {
		if tidings.CodeOf(err) == tidings.Unauthenticated {
			err = errors.Join(err, a.people.Note(ctx, "session.begin refused", "account "+tidings.Clip(account, 64), map[string]string{"address": network(ip)}))
		}
		return "", Principal{}, err
	}
	random := make([]byte, 32)
	rand.Read(random) // never fails
	token = base64.RawURLEncoding.EncodeToString(random)
	s := tidings.Session{Hash: hash(token), Account: p.Account, CreatedAt: now, ExpiresAt: now.Add(SessionTime)}
	if p.KeyID == "" && p.Account == tidings.RootAccount {
		s.Credential = a.adminMark()
	} else if p.KeyID != "" {
		s.Credential = keyMark + p.KeyID
	}
	ctx = tidings.WithActor(ctx, tidings.Actor{Account: p.Account, Key: p.KeyID, Via: "console"})
	return token, p, a.people.CreateSession(ctx, s)
}

const keyMark = "key:"

// adminMark is what a session of the admin token keeps of it: it ends when the token is another one.
func (a *Authenticator) adminMark() string { return hash(string(a.admin[:])) }

// signedIn tells who it is that knows the password.
func (a *Authenticator) signedIn(ctx context.Context, account, password string) (Principal, error) {
	if account == "" || account == tidings.RootAccount {
		p, err := a.Bearer(ctx, password)
		if err == nil && (p.Kind != Admin || account == tidings.RootAccount && p.Account != tidings.RootAccount) || tidings.CodeOf(err) == tidings.Unauthenticated {
			err = errSignIn()
		}
		return p, err
	}
	var known tidings.Account
	var err error
	if tidings.ValidName(account) {
		if known, err = a.people.Account(ctx, account); err != nil && tidings.CodeOf(err) != tidings.NotFound {
			return Principal{}, err
		}
	}
	if !CheckPassword(known.Hash, password) || known.State != tidings.AccountActive {
		return Principal{}, errSignIn()
	}
	return personOf(known), nil
}

// personOf is an account as a principal.
func personOf(a tidings.Account) Principal {
	return Principal{Kind: Admin, Account: a.ID, Role: a.Role, Application: a.Application}
}

// Session tells whose session token is, and notes that it is in use.
func (a *Authenticator) Session(ctx context.Context, token string) (Principal, error) {
	ended := tidings.Errorf(tidings.Unauthenticated, "the session has ended")
	if len(token) != secretLength {
		return Principal{}, ended
	}
	s, err := a.people.Session(ctx, hash(token))
	if tidings.CodeOf(err) == tidings.NotFound {
		return Principal{}, ended
	}
	if err != nil {
		return Principal{}, err
	}
	now := a.now()
	if !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) >= sessionIdle {
		return Principal{}, ended
	}
	p, err := a.holder(ctx, s)
	if code := tidings.CodeOf(err); code == tidings.NotFound || code == tidings.Unauthenticated {
		return Principal{}, ended
	}
	if err != nil {
		return Principal{}, err
	}
	p.Expires = s.ExpiresAt
	if now.Sub(s.SeenAt) >= sessionSeen {
		err = a.people.SessionSeen(ctx, s.Hash, now)
	}
	return p, err
}

// holder is who a session belongs to, as he is now.
func (a *Authenticator) holder(ctx context.Context, s tidings.Session) (Principal, error) {
	if id, ok := strings.CutPrefix(s.Credential, keyMark); ok {
		k, err := a.lookUpKey(ctx, id)
		if err != nil {
			return Principal{}, err
		}
		return a.person(ctx, k)
	}
	if s.Account == tidings.RootAccount {
		if !a.open || s.Credential != a.adminMark() {
			return Principal{}, errKey()
		}
		return root(), nil
	}
	known, err := a.people.Account(ctx, s.Account)
	if err == nil && known.State != tidings.AccountActive {
		err = errKey()
	}
	return personOf(known), err
}

// SignOut ends the session of token.
func (a *Authenticator) SignOut(ctx context.Context, token string) error {
	return a.people.EndSession(ctx, hash(token))
}

// Package auth tells who is asking. Programs come with an API key, browsers with a short-lived user token, and the first
// admin with a token from the environment. The package also derives from the one master secret whatever is signed or
// sealed: user tokens, receipt URLs, addresses at rest.
package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings"
)

// Kind is what sort of principal is asking.
type Kind string

// The kinds of principals. The first three hold keys, a user holds a token.
const (
	Application Kind = "application"
	Merchant    Kind = "merchant"
	Admin       Kind = "admin"
	User        Kind = "user"
)

// Principal is who is asking, and what it may do.
type Principal struct {
	Kind        Kind
	Application string            // of applications and users; of people who belong to one
	Account     string            // of people; of an application's key: who made it
	Dimension   string            // of merchants: "m:acme" or "s:acme-1"
	Role        tidings.Role      // of people
	User        string            // of users
	KeyID       string            // the key it came with; "" for users and the first admin
	Scopes      []string          // of keys
	Types       []string          // of users: the message types they may see; of application keys: that they may use; none means all
	Channels    []tidings.Channel // of application keys: the channels they may use; none means all
	Expires     time.Time         // when the credential ends; zero: never
}

// Has tells whether the principal's key was granted scope. Admins of role admin need none.
func (p Principal) Has(scope string) bool {
	return p.Kind == Admin && p.Role == tidings.RoleAdmin || slices.Contains(p.Scopes, scope)
}

// Actor is the principal as the audit log names it; via is the door.
func (p Principal) Actor(via string) tidings.Actor {
	who := tidings.Actor{Account: p.Account, Key: p.KeyID, Via: via}
	switch {
	case p.Kind == User:
		who.Account = "user:" + p.User
	case who.Account == "" && p.KeyID != "":
		who.Account = keyMark + p.KeyID
	}
	return who
}

// MayUse refuses a message type or channel that the principal's key was not made for.
func (p Principal) MayUse(typ string, channels ...tidings.Channel) error {
	if p.Kind != Application {
		return nil
	}
	if len(p.Types) > 0 && !slices.Contains(p.Types, typ) {
		return tidings.Errorf(tidings.Forbidden, "the key is not for the message type %s", typ)
	}
	for _, c := range channels {
		if len(p.Channels) > 0 && !slices.Contains(p.Channels, c) {
			return tidings.Errorf(tidings.Forbidden, "the key is not for the channel %s", c)
		}
	}
	return nil
}

// Keys is where the Authenticator looks keys and applications up. "Not found" is a *tidings.Error.
type Keys interface {
	Key(ctx context.Context, id string) (tidings.Key, error)
	Application(ctx context.Context, id string) (tidings.Application, error)
	Applications(ctx context.Context) ([]tidings.Application, error)
	People
}

// cacheTime bounds how long a revoked key or a suspended application still gets in. The promise is 5 s on every node; one
// second is left for the look-up itself.
const cacheTime = 4 * time.Second

// Authenticator tells who is asking. It is safe for use by several goroutines.
type Authenticator struct {
	keys   Keys
	people People
	tokens *Tokens
	admin  [sha256.Size]byte // of the admin token
	open   bool              // an admin token is set
	now    func() time.Time

	byID    cache[tidings.Key]
	apps    cache[tidings.Application]
	origins cache[[]tidings.Application]
	persons cache[tidings.Account]
	failed  failures
	used    used
}

// New returns an Authenticator. adminToken is TIDINGS_ADMIN_TOKEN; when it is empty nobody gets in by it.
func New(keys Keys, tokens *Tokens, adminToken string, now func() time.Time) *Authenticator {
	return &Authenticator{
		keys: keys, people: keys, tokens: tokens, admin: sha256.Sum256([]byte(adminToken)), open: adminToken != "", now: now,
	}
}

// Authenticate reads the request's "Authorization: Bearer ..." and tells who is asking, else an Unauthenticated or
// Forbidden error.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, tidings.Errorf(tidings.Unauthenticated, "send a key or token as Authorization: Bearer")
	}
	return a.Bearer(r.Context(), token)
}

// Bearer tells who holds token: a key, a user token or the admin token.
func (a *Authenticator) Bearer(ctx context.Context, token string) (Principal, error) {
	if a.isAdminToken(token) {
		return root(), nil
	}
	if id, secret, ok := splitKey(token); ok {
		return a.byKey(ctx, token[:prefixLength], id, secret)
	}
	return a.byToken(token)
}

// root is who comes with the admin token.
func root() Principal {
	return Principal{Kind: Admin, Account: tidings.RootAccount, Role: tidings.RoleAdmin}
}

func (a *Authenticator) isAdminToken(token string) bool {
	given := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(given[:], a.admin[:]) == 1 && a.open
}

func (a *Authenticator) byToken(token string) (Principal, error) {
	c, err := a.tokens.Verify(token)
	if err != nil {
		return Principal{}, err
	}
	return Principal{Kind: User, Application: c.Application, User: c.User, Types: c.Types, Expires: c.Expires}, nil
}

// errKey answers every key that does not open: it must not tell whether the id exists.
func errKey() error {
	return tidings.Errorf(tidings.Unauthenticated, "the key is unknown, revoked or expired")
}

// lookUpKey reads a key that was neither revoked nor has expired.
func (a *Authenticator) lookUpKey(ctx context.Context, id string) (tidings.Key, error) {
	k, err := a.byID.get(a.now(), id, func() (tidings.Key, error) { return a.keys.Key(ctx, id) })
	if tidings.CodeOf(err) == tidings.NotFound {
		return k, errKey()
	}
	if err != nil {
		return k, fmt.Errorf("look up key %s: %w", id, err)
	}
	if expired := !k.ExpiresAt.IsZero() && !a.now().Before(k.ExpiresAt); expired || !k.RevokedAt.IsZero() {
		return k, errKey()
	}
	return k, nil
}

func (a *Authenticator) byKey(ctx context.Context, prefix, id, secret string) (Principal, error) {
	k, err := a.lookUpKey(ctx, id)
	if err != nil {
		return Principal{}, err
	}
	if !Matches(k, secret) || prefixOf(k.Kind) != prefix {
		return Principal{}, errKey()
	}
	a.used.note(id, a.now())
	if k.Kind == tidings.AdminKey {
		return a.person(ctx, k)
	}
	p := Principal{
		Kind: Kind(k.Kind), Application: k.Application, Account: k.MadeBy, Dimension: k.Dimension, KeyID: k.ID, Scopes: k.Scopes,
		Types: k.Types, Channels: k.Channels, Expires: k.ExpiresAt,
	}
	if p.Kind == Application {
		return p, a.active(ctx, p.Application)
	}
	return p, nil
}

// person is who holds an admin key: an account as it is now, or for a key without one the key itself.
func (a *Authenticator) person(ctx context.Context, k tidings.Key) (Principal, error) {
	p := Principal{Kind: Admin, Account: keyMark + k.ID, Role: k.Role, KeyID: k.ID, Expires: k.ExpiresAt}
	if k.Account == "" {
		return p, nil
	}
	known, err := a.persons.get(a.now(), k.Account, func() (tidings.Account, error) { return a.people.Account(ctx, k.Account) })
	if tidings.CodeOf(err) == tidings.NotFound || err == nil && known.State != tidings.AccountActive {
		return Principal{}, errKey()
	}
	if err != nil {
		return Principal{}, fmt.Errorf("look up account %s: %w", k.Account, err)
	}
	p.Account, p.Role, p.Application = known.ID, known.Role, known.Application
	return p, nil
}

// active refuses an application that is suspended.
func (a *Authenticator) active(ctx context.Context, id string) error {
	app, err := a.apps.get(a.now(), id, func() (tidings.Application, error) { return a.keys.Application(ctx, id) })
	if tidings.CodeOf(err) == tidings.NotFound {
		return errKey()
	}
	if err != nil {
		return fmt.Errorf("look up application %s: %w", id, err)
	}
	if app.State != tidings.ApplicationActive {
		return tidings.Errorf(tidings.Forbidden, "the application %s is %s", id, app.State)
	}
	return nil
}

// OriginAllowed tells whether pages of origin ("https://shop.example") may call us: for application "" if any application
// lists it (a preflight carries no token), else if this application does.
func (a *Authenticator) OriginAllowed(ctx context.Context, origin, application string) bool {
	apps, err := a.origins.get(a.now(), "", func() ([]tidings.Application, error) { return a.keys.Applications(ctx) })
	if err != nil {
		return false
	}
	for _, app := range apps {
		if (application == "" || app.ID == application) && slices.Contains(app.Origins, origin) {
			return true
		}
	}
	return false
}

// CheckOrigin refuses a page whose origin the token's own application does not list: that another application lists it
// is enough for a preflight, and not for a user's data. Pages that the door itself serves are always let in.
func (a *Authenticator) CheckOrigin(r *http.Request, p Principal) error {
	origin := r.Header.Get("Origin")
	if origin == "" || p.Kind == Admin {
		return nil
	}
	_, host, _ := strings.Cut(origin, "://")
	if host == r.Host || a.OriginAllowed(r.Context(), origin, p.Application) {
		return nil
	}
	return tidings.Errorf(tidings.Forbidden, "the application does not list this page's origin")
}

// derive makes the key for one purpose from the master secret, so that no two purposes share a key (HKDF, RFC 5869).
func derive(master []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, master, nil, "tidings "+purpose, 32)
	if err != nil { // only for lengths above 255 hashes
		panic(err)
	}
	return key
}

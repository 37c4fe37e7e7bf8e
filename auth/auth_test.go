package auth_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"tidings"
	"tidings/auth"
)

var master = []byte("a master secret of at least 32 characters")

// register is a fixed set of keys and applications that counts how often it is asked.
type register struct {
	people
	keys  map[string]tidings.Key
	apps  map[string]tidings.Application
	asked int
	err   error
}

func (s *register) Key(_ context.Context, id string) (tidings.Key, error) {
	s.asked++
	if k, ok := s.keys[id]; ok || s.err != nil {
		return k, s.err
	}
	return tidings.Key{}, tidings.Errorf(tidings.NotFound, "no such key")
}

func (s *register) Application(_ context.Context, id string) (tidings.Application, error) {
	if a, ok := s.apps[id]; ok {
		return a, nil
	}
	return tidings.Application{}, tidings.Errorf(tidings.NotFound, "no such application")
}

func (s *register) Applications(context.Context) (as []tidings.Application, err error) {
	for _, a := range s.apps {
		as = append(as, a)
	}
	return as, nil
}

type bundle struct {
	*auth.Authenticator
	store  *register
	tokens *auth.Tokens
	now    time.Time
}

func setup() *bundle {
	b := &bundle{now: time.Unix(1_800_000_000, 0), tokens: auth.NewTokens(master), store: &register{
		keys: map[string]tidings.Key{},
		apps: map[string]tidings.Application{
			"shop": {ID: "shop", State: tidings.ApplicationActive, Origins: []string{"https://shop.example"}},
			"pos":  {ID: "pos", State: tidings.ApplicationActive},
		},
	}}
	b.tokens.Now = func() time.Time { return b.now }
	b.store.people.init()
	b.Authenticator = auth.New(b.store, b.tokens, "the first admin", func() time.Time { return b.now })
	return b
}

// key puts a new key into the register and returns how its holder writes it.
func (b *bundle) key(kind tidings.KeyKind, change func(*tidings.Key)) (id, written string) {
	k, written := auth.NewKey(kind)
	if kind == tidings.ApplicationKey {
		k.Application = "shop"
	}
	if change != nil {
		change(&k)
	}
	b.store.keys[k.ID] = k
	return k.ID, written
}

func (b *bundle) code(t *testing.T, token string) tidings.Code {
	t.Helper()
	_, err := b.Bearer(t.Context(), token)
	if err != nil && tidings.CodeOf(err) == "" {
		t.Fatal(err)
	}
	return tidings.CodeOf(err)
}

func TestAKeyOpensAsWhatItIs(t *testing.T) {
	t.Parallel()
	b := setup()
	_, app := b.key(tidings.ApplicationKey, func(k *tidings.Key) { k.Scopes = []string{tidings.ScopeSend} })
	_, merchant := b.key(tidings.MerchantKey, func(k *tidings.Key) { k.Dimension = "m:acme" })
	_, admin := b.key(tidings.AdminKey, func(k *tidings.Key) { k.Role = tidings.RoleOperator })
	p, err := b.Bearer(t.Context(), app)
	if err != nil || p.Kind != auth.Application || p.Application != "shop" || !p.Has(tidings.ScopeSend) || p.Has(tidings.ScopeTokensMint) {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := b.Bearer(t.Context(), merchant); err != nil || p.Kind != auth.Merchant || p.Dimension != "m:acme" {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := b.Bearer(t.Context(), admin); err != nil || p.Kind != auth.Admin || p.Role != tidings.RoleOperator || p.Has(tidings.ScopeSend) {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := b.Bearer(t.Context(), "the first admin"); err != nil || p.Kind != auth.Admin || !p.Has(tidings.ScopeSend) {
		t.Errorf("%+v %v", p, err)
	}
}

func TestAKeyThatIsNotExactlyRightDoesNotOpen(t *testing.T) {
	t.Parallel()
	b := setup()
	_, good := b.key(tidings.ApplicationKey, nil)
	_, revoked := b.key(tidings.ApplicationKey, func(k *tidings.Key) { k.RevokedAt = b.now })
	_, expired := b.key(tidings.ApplicationKey, func(k *tidings.Key) { k.ExpiresAt = b.now })
	_, orphan := b.key(tidings.ApplicationKey, func(k *tidings.Key) { k.Application = "gone" })
	_, unknown := auth.NewKey(tidings.ApplicationKey)
	other := byte('A')
	if good[len(good)-1] == other {
		other = 'B'
	}
	for name, key := range map[string]string{
		"revoked": revoked, "expired": expired, "orphan": orphan, "unknown": unknown, "empty": "", "prefix": "tdk_",
		"last character": good[:len(good)-1] + string(other), "other prefix": "tda_" + good[4:], "longer": good + "A",
		"shorter": good[:len(good)-1], "no secret": good[:15], "spaces": " " + good,
	} {
		if got := b.code(t, key); got != tidings.Unauthenticated {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestNobodyGetsInByAnEmptyAdminToken(t *testing.T) {
	t.Parallel()
	a := auth.New(&register{}, auth.NewTokens(master), "", time.Now)
	if _, err := a.Bearer(t.Context(), ""); tidings.CodeOf(err) != tidings.Unauthenticated {
		t.Error(err)
	}
}

func TestARevokedKeyAndASuspendedApplicationAreOutWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	b := setup()
	id, key := b.key(tidings.ApplicationKey, nil)
	for range 100 {
		if got := b.code(t, key); got != "" {
			t.Fatal(got)
		}
	}
	if b.store.asked != 1 {
		t.Errorf("100 requests asked SQL %d times", b.store.asked)
	}
	b.store.apps["shop"] = tidings.Application{ID: "shop", State: tidings.ApplicationSuspended}
	b.now = b.now.Add(5 * time.Second)
	if got := b.code(t, key); got != tidings.Forbidden {
		t.Errorf("suspended: %q", got)
	}
	k := b.store.keys[id]
	k.RevokedAt = b.now
	b.store.keys[id] = k
	b.now = b.now.Add(5 * time.Second)
	if got := b.code(t, key); got != tidings.Unauthenticated {
		t.Errorf("revoked: %q", got)
	}
}

func TestAFaultOfOursIsNotTakenForAWrongKeyAndNotKept(t *testing.T) {
	t.Parallel()
	b := setup()
	_, key := b.key(tidings.ApplicationKey, nil)
	b.store.err = errors.New("sql is away")
	if _, err := b.Bearer(t.Context(), key); !errors.Is(err, b.store.err) || tidings.CodeOf(err) != "" {
		t.Errorf("%v", err)
	}
	b.store.err = nil
	if got := b.code(t, key); got != "" {
		t.Errorf("after the fault: %q", got)
	}
}

func TestOnlyTheBearerSchemeIsRead(t *testing.T) {
	t.Parallel()
	b := setup()
	for header, want := range map[string]tidings.Code{
		"": tidings.Unauthenticated, "the first admin": tidings.Unauthenticated, "Basic the first admin": tidings.Unauthenticated,
		"bearer the first admin": "", "Bearer the first admin": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", header)
		if _, err := b.Authenticate(r); tidings.CodeOf(err) != want {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func TestAPageMayCallOnlyWithTokensOfAnApplicationThatListsItsOrigin(t *testing.T) {
	t.Parallel()
	b := setup()
	for _, c := range []struct {
		origin, application string
		want                tidings.Code
	}{
		{"", "pos", ""}, {"http://example.com", "pos", ""}, // httptest's own host
		{"https://shop.example", "shop", ""}, {"https://shop.example", "pos", tidings.Forbidden},
		{"https://evil.example", "shop", tidings.Forbidden}, {"null", "shop", tidings.Forbidden},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Origin", c.origin)
		if err := b.CheckOrigin(r, auth.Principal{Kind: auth.User, Application: c.application}); tidings.CodeOf(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if !b.OriginAllowed(t.Context(), "https://shop.example", "") || b.OriginAllowed(t.Context(), "https://evil.example", "") {
		t.Error("preflight")
	}
}

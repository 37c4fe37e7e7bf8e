package auth_test

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/auth"
)

// people keeps accounts and sessions in memory.
type people struct {
	accounts map[string]tidings.Account
	sessions map[string]tidings.Session
	mu       sync.Mutex
	noted    []string
}

func (p *people) init() {
	p.accounts, p.sessions = map[string]tidings.Account{}, map[string]tidings.Session{}
}

func (p *people) Account(_ context.Context, id string) (tidings.Account, error) {
	if a, ok := p.accounts[id]; ok {
		return a, nil
	}
	return tidings.Account{}, tidings.Errorf(tidings.NotFound, "no such account")
}

func (p *people) CreateSession(_ context.Context, s tidings.Session) error {
	s.SeenAt = s.CreatedAt
	p.sessions[s.Hash] = s
	return nil
}

func (p *people) Session(_ context.Context, hash string) (tidings.Session, error) {
	if s, ok := p.sessions[hash]; ok {
		return s, nil
	}
	return tidings.Session{}, tidings.Errorf(tidings.NotFound, "no such session")
}

func (p *people) SessionSeen(_ context.Context, hash string, at time.Time) error {
	s := p.sessions[hash]
	s.SeenAt = at
	p.sessions[hash] = s
	return nil
}

func (p *people) EndSession(_ context.Context, hash string) error {
	delete(p.sessions, hash)
	return nil
}

func (p *people) Note(_ context.Context, action, object string, _ any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noted = append(p.noted, action+" "+object)
	return nil
}

const password = "correct horse battery"

func (b *bundle) account(id string, role tidings.Role) {
	b.store.accounts[id] = tidings.Account{ID: id, Role: role, State: tidings.AccountActive, Hash: auth.HashPassword(password)}
}

func TestAPasswordIsKeptAsItsHashAlone(t *testing.T) {
	t.Parallel()
	one, two := auth.HashPassword(password), auth.HashPassword(password)
	if one == two || strings.Contains(one, password) || !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s %s", one, two)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{one, password, true}, {two, password, true}, {one, password + "x", false}, {one, "", false}, {"", "", false}, {"", password, false},
		{"nonsense", password, false}, {one[:len(one)-2], password, false}, {one, strings.Repeat("x", 1<<20), false},
	} {
		if got := auth.CheckPassword(c.hash, c.password); got != c.want {
			t.Errorf("%.20q with %.20q: %v", c.hash, c.password, got)
		}
	}
}

func TestASessionLastsAsLongAsItMay(t *testing.T) {
	t.Parallel()
	b, ctx := setup(), t.Context()
	b.account("li", tidings.RoleApprover)
	token, p, err := b.SignIn(ctx, "li", password)
	if err != nil || p.Kind != auth.Admin || p.Account != "li" || p.Role != tidings.RoleApprover {
		t.Fatal(p, err)
	}
	again, _, err := b.SignIn(ctx, "li", password)
	if err != nil || again == token {
		t.Fatal("the token did not change", err)
	}
	for hash := range b.store.sessions {
		if strings.Contains(hash, token) {
			t.Error("the token itself is kept")
		}
	}
	open := func(want bool) {
		t.Helper()
		if _, err := b.Session(ctx, token); (err == nil) != want || err != nil && tidings.CodeOf(err) != tidings.Unauthenticated {
			t.Errorf("open %v, want %v: %v", err == nil, want, err)
		}
	}
	for range 7 { // in use all the time, until twelve hours are over
		open(true)
		b.now = b.now.Add(100 * time.Minute)
	}
	open(true)
	b.now = b.now.Add(21 * time.Minute)
	open(false)
	if token, _, err = b.SignIn(ctx, "li", password); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(2 * time.Hour)
	open(false) // nobody used it
	if token, _, err = b.SignIn(ctx, "li", password); err != nil {
		t.Fatal(err)
	}
	a := b.store.accounts["li"]
	a.State = tidings.AccountDisabled
	b.store.accounts["li"] = a
	open(false)
	if _, _, err := b.SignIn(ctx, "li", password); tidings.CodeOf(err) != tidings.Unauthenticated {
		t.Error(err)
	}
	for _, forged := range []string{"", "x", token + "x", strings.Repeat("A", 43)} {
		if _, err := b.Session(ctx, forged); tidings.CodeOf(err) != tidings.Unauthenticated {
			t.Errorf("%q: %v", forged, err)
		}
	}
}

func TestTheAdminTokenSignsInAsRoot(t *testing.T) {
	t.Parallel()
	b, ctx := setup(), t.Context()
	token, p, err := b.SignIn(ctx, tidings.RootAccount, "the first admin")
	if err != nil || p.Account != tidings.RootAccount || p.Role != tidings.RoleAdmin {
		t.Fatal(p, err)
	}
	if p, err := b.Session(ctx, token); err != nil || p.Account != tidings.RootAccount {
		t.Fatal(p, err)
	}
	changed := auth.New(b.store, b.tokens, "another token", func() time.Time { return b.now })
	if _, err := changed.Session(ctx, token); tidings.CodeOf(err) != tidings.Unauthenticated {
		t.Errorf("it outlived the admin token: %v", err)
	}
	if err := b.SignOut(ctx, token); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Session(ctx, token); tidings.CodeOf(err) != tidings.Unauthenticated {
		t.Errorf("after signing out: %v", err)
	}
	_, written := b.key(tidings.ApplicationKey, nil)
	for account, secret := range map[string]string{tidings.RootAccount: password, "": written, "nobody": ""} {
		if _, _, err := b.SignIn(ctx, account, secret); tidings.CodeOf(err) != tidings.Unauthenticated {
			t.Errorf("%q: %v", account, err)
		}
	}
}

func TestWrongPasswordsRunOut(t *testing.T) {
	t.Parallel()
	b, ctx := setup(), t.Context()
	b.account("li", tidings.RoleViewer)
	from := func(address, account, secret string) tidings.Code {
		_, _, err := b.SignIn(auth.WithAddress(ctx, netip.MustParseAddr(address)), account, secret)
		return tidings.CodeOf(err)
	}
	for i := range 10 {
		if got := from("192.0.2."+string(rune('0'+i)), "li", "wrong"); got != tidings.Unauthenticated {
			t.Fatal(i, got)
		}
	}
	if got := from("198.51.100.1", "li", password); got != tidings.TooMany {
		t.Errorf("the account: %q", got)
	}
	for i := range 10 {
		from("203.0.113.9", "a"+string(rune('0'+i)), "wrong")
	}
	if got := from("203.0.113.9", tidings.RootAccount, "the first admin"); got != tidings.TooMany {
		t.Errorf("the address: %q", got)
	}
	b.now = b.now.Add(2 * time.Minute)
	if got := from("203.0.113.9", "li", password); got != "" {
		t.Errorf("later: %q", got)
	}
	if len(b.store.noted) != 20 {
		t.Errorf("%d refusals in the audit log", len(b.store.noted))
	}
}

func TestAKeyOfAnAccountIsTheAccount(t *testing.T) {
	t.Parallel()
	b, ctx := setup(), t.Context()
	b.store.accounts["dev"] = tidings.Account{ID: "dev", Role: tidings.RoleDeveloper, Application: "shop", State: tidings.AccountActive}
	id, written := b.key(tidings.AdminKey, func(k *tidings.Key) { k.Account = "dev" })
	p, err := b.Bearer(ctx, written)
	if err != nil || p.Account != "dev" || p.Role != tidings.RoleDeveloper || p.Application != "shop" {
		t.Fatal(p, err)
	}
	if used := b.Used(); len(used) != 1 || used[id].IsZero() {
		t.Errorf("%v", used)
	}
	if again := b.Used(); len(again) != 0 {
		t.Errorf("told twice: %v", again)
	}
	for act, want := range map[auth.Action]tidings.Code{
		auth.WriteTemplates: "", auth.ReviewTemplates: tidings.Forbidden, auth.ReadDirectory: tidings.Forbidden, auth.ReadAudit: tidings.Forbidden,
	} {
		if err := auth.May(p, act, "shop"); tidings.CodeOf(err) != want {
			t.Errorf("%s: %v", act, err)
		}
	}
	if err := auth.May(p, auth.WriteTemplates, "pos"); tidings.CodeOf(err) != tidings.NotFound {
		t.Errorf("another's: %v", err)
	}
	p.Application = ""
	if auth.May(p, auth.ReadApplication, "") == nil || auth.May(p, auth.ApplyApplication, "") != nil {
		t.Error("a developer without an application")
	}
	b.store.accounts["dev"] = tidings.Account{ID: "dev", State: tidings.AccountDisabled}
	b.now = b.now.Add(5 * time.Second)
	if got := b.code(t, written); got != tidings.Unauthenticated {
		t.Errorf("of a disabled account: %q", got)
	}
}

func TestOfManyGuessesAtOnceNoMoreAreLookedAtThanOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b, ctx := setup(), t.Context()
	b.account("li", tidings.RoleViewer)
	var guesses sync.WaitGroup
	var looked atomic.Int64
	for range 40 {
		guesses.Go(func() {
			if _, _, err := b.SignIn(auth.WithAddress(ctx, netip.MustParseAddr("192.0.2.1")), "li", "wrong"); tidings.CodeOf(err) == tidings.Unauthenticated {
				looked.Add(1)
			}
		})
	}
	guesses.Wait()
	if n := looked.Load(); n != 10 {
		t.Errorf("%d of 40 guesses were looked at", n)
	}
}

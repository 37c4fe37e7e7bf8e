package auth_test

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidings"
	"tidings/auth"
)

func TestATokenSaysWhatWasMinted(t *testing.T) {
	t.Parallel()
	b := setup()
	token, expires, err := b.tokens.Mint(auth.Claims{Application: "shop", User: "u1", Types: []string{"order.paid"}})
	if err != nil || !expires.Equal(b.now.Add(time.Hour)) {
		t.Fatal(expires, err)
	}
	p, err := b.Bearer(t.Context(), token)
	if err != nil || p.Kind != auth.User || p.User != "u1" || p.Application != "shop" || len(p.Types) != 1 || !p.Expires.Equal(expires) {
		t.Errorf("%+v %v", p, err)
	}
	b.now = expires.Add(29 * time.Second)
	if got := b.code(t, token); got != "" {
		t.Errorf("within the leeway: %q", got)
	}
	b.now = expires.Add(31 * time.Second)
	if got := b.code(t, token); got != tidings.Unauthenticated {
		t.Errorf("after the leeway: %q", got)
	}
}

func TestATokenLivesAtMostAnHour(t *testing.T) {
	t.Parallel()
	b := setup()
	for _, life := range []time.Duration{-time.Second, time.Hour + time.Second} {
		if _, _, err := b.tokens.Mint(auth.Claims{Application: "shop", User: "u1", Expires: b.now.Add(life)}); tidings.CodeOf(err) != tidings.Invalid {
			t.Errorf("%v: %v", life, err)
		}
	}
}

func TestTokensOutliveAChangeOfTheMasterSecret(t *testing.T) {
	t.Parallel()
	token, _, err := auth.NewTokens(master).Mint(auth.Claims{Application: "shop", User: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	next := []byte("another master secret of 32 characters or more")
	if _, err := auth.NewTokens(next, master).Verify(token); err != nil {
		t.Errorf("with the previous secret: %v", err)
	}
	if _, err := auth.NewTokens(next).Verify(token); tidings.CodeOf(err) != tidings.Unauthenticated {
		t.Errorf("without it: %v", err)
	}
}

// forged are tokens that must not open, each made as an attacker would.
func forged(t *testing.T, now time.Time) map[string]string {
	t.Helper()
	key, err := hkdf.Key(sha256.New, master, nil, "tidings user-token", 32)
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := func() jwt.MapClaims {
		return jwt.MapClaims{"iss": "tidings", "aud": "tidings-user", "sub": "u1", "app": "shop", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	}
	sign := func(m jwt.SigningMethod, key any, change func(c jwt.MapClaims)) string {
		c := good()
		if change != nil {
			change(c)
		}
		s, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	with := func(name string, value any) string {
		return sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		})
	}
	real := sign(jwt.SigningMethodHS256, key, nil)
	part := strings.Split(real, ".")
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	headed := func(header string) string { return encode(header) + "." + part[1] + "." + part[2] }
	return map[string]string{
		"alg none":            sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"alg None":            headed(`{"alg":"None","typ":"JWT"}`),
		"no signature":        part[0] + "." + part[1] + ".",
		"no alg":              headed(`{"typ":"JWT"}`),
		"HS384":               sign(jwt.SigningMethodHS384, key, nil),
		"HS512":               sign(jwt.SigningMethodHS512, key, nil),
		"RS256":               sign(jwt.SigningMethodRS256, private, nil),
		"PS256":               sign(jwt.SigningMethodPS256, private, nil),
		"the master itself":   sign(jwt.SigningMethodHS256, master, nil),
		"empty key":           sign(jwt.SigningMethodHS256, []byte{}, nil),
		"other key":           sign(jwt.SigningMethodHS256, []byte("guess"), nil),
		"jku in the header":   headed(`{"alg":"HS256","jku":"https://evil.example/keys"}`),
		"jwk in the header":   headed(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`),
		"kid is a path":       headed(`{"alg":"HS256","kid":"../../dev/null"}`),
		"changed user":        part[0] + "." + encode(`{"iss":"tidings","aud":["tidings-user"],"sub":"u2","app":"shop","iat":1,"exp":9999999999}`) + "." + part[2],
		"cut signature":       real[:len(real)-2],
		"other issuer":        with("iss", "somebody"),
		"no issuer":           with("iss", nil),
		"other audience":      with("aud", "tidings-admin"),
		"no audience":         with("aud", nil),
		"no expiry":           with("exp", nil),
		"expired":             with("exp", now.Add(-time.Minute).Unix()),
		"lives too long":      with("exp", now.Add(2*time.Hour).Unix()),
		"from the future":     with("iat", now.Add(10*time.Minute).Unix()),
		"no time of issue":    with("iat", nil),
		"not yet valid":       with("nbf", now.Add(10*time.Minute).Unix()),
		"no user":             with("sub", nil),
		"user is no id":       with("sub", "u1} or"),
		"no application":      with("app", nil),
		"user is a number":    with("sub", 7),
		"expiry is text":      with("exp", "never"),
		"two parts":           part[0] + "." + part[1],
		"four parts":          real + ".x",
		"not base64":          part[0] + ".!!!." + part[2],
		"padding":             part[0] + "." + part[1] + "=." + part[2],
		"enormous":            real + strings.Repeat("A", 5000),
		"a token in quotes":   `"` + real + `"`,
		"nothing":             "",
		"dots":                "..",
		"an admin's audience": with("aud", []string{"tidings", "admin"}),
	}
}

func TestForgedTokensDoNotOpen(t *testing.T) {
	t.Parallel()
	b := setup()
	for name, token := range forged(t, b.now) {
		if got := b.code(t, token); got != tidings.Unauthenticated {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzATokenThatWeDidNotMintNeverOpens(f *testing.F) {
	tokens := auth.NewTokens(master)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := tokens.Verify(token); tidings.CodeOf(err) != tidings.Unauthenticated {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

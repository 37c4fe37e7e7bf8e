package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidings"
)

// MaxTokenLife is the longest a user token may live: a token cannot be revoked, so it is short.
const MaxTokenLife = time.Hour

const (
	issuer   = "tidings"
	audience = "tidings-user"
	// leeway forgives clocks that differ between the node that minted and the one that verifies (RELIABILITY 5.8).
	leeway = 30 * time.Second
	// maxToken bounds what is parsed for somebody who is not known yet.
	maxToken = 4096
)

// Claims are what a user token says.
type Claims struct {
	Application string // that minted it
	User        string
	Types       []string // the message types it may see; none means all
	Expires     time.Time
}

// Tokens mints and verifies user tokens: JWTs signed with HMAC-SHA256 (RFC 7519, RFC 7518 3.2).
type Tokens struct {
	Now    func() time.Time
	keys   [][]byte // the first one signs, all verify
	parser *jwt.Parser
}

// NewTokens returns Tokens that sign with a key derived from the master secret. Tokens made under a previous master
// secret are still taken, so that the secret can be changed without signing every page out.
func NewTokens(master []byte, previous ...[]byte) *Tokens {
	t := &Tokens{Now: time.Now}
	for _, secret := range append([][]byte{master}, previous...) {
		t.keys = append(t.keys, derive(secret, "user-token"))
	}
	// An allow-list of one algorithm: "none", and a public key taken for an HMAC secret, have no way in.
	t.parser = jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return t.Now() }))
	return t
}

type jwtClaims struct {
	jwt.RegisteredClaims
	Application string   `json:"app"`
	Types       []string `json:"types,omitempty"`
}

// Mint signs a token. Without c.Expires it lives MaxTokenLife; a longer life is refused.
func (t *Tokens) Mint(c Claims) (string, time.Time, error) {
	now := t.Now().Truncate(time.Second) // JWT times are whole seconds
	if c.Expires.IsZero() {
		c.Expires = now.Add(MaxTokenLife)
	}
	if life := c.Expires.Sub(now); life <= 0 || life > MaxTokenLife {
		return "", time.Time{}, tidings.Errorf(tidings.Invalid, "a token lives 1 to 3600 seconds, not %d", life/time.Second)
	}
	if !tidings.ValidName(c.Application) || !tidings.ValidName(c.User) {
		return "", time.Time{}, tidings.Errorf(tidings.Invalid, "a token names an application and a user")
	}
	claims := jwtClaims{Application: c.Application, Types: c.Types, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: c.User,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(c.Expires),
	}}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.keys[0])
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign a user token: %w", err)
	}
	return signed, c.Expires, nil
}

// Verify reads a token that Mint made. Whatever is wrong with it, the error is Unauthenticated and says only as much as
// an honest holder needs: that it has expired, or that it is not valid.
func (t *Tokens) Verify(token string) (Claims, error) {
	if len(token) > maxToken {
		return Claims{}, tidings.Errorf(tidings.Unauthenticated, "the token is not valid")
	}
	var claims jwtClaims
	var err error
	for _, key := range t.keys {
		claims = jwtClaims{}
		_, err = t.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil })
		if err == nil || !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			break
		}
	}
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Claims{}, tidings.Errorf(tidings.Unauthenticated, "the token has expired")
	case err != nil || !claims.sound(t.Now()):
		return Claims{}, &tidings.Error{Code: tidings.Unauthenticated, Detail: "the token is not valid", Err: err}
	}
	return Claims{
		Application: claims.Application, User: claims.Subject, Types: claims.Types, Expires: claims.ExpiresAt.Time,
	}, nil
}

// sound refuses what the signature alone does not: a life longer than we mint, and names we would never have signed.
func (c jwtClaims) sound(now time.Time) bool {
	return c.IssuedAt != nil && c.ExpiresAt.Sub(c.IssuedAt.Time) <= MaxTokenLife &&
		c.ExpiresAt.Sub(now) <= MaxTokenLife+leeway &&
		tidings.ValidName(c.Application) && tidings.ValidName(c.Subject)
}

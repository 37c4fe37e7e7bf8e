package apns

import (
	"crypto/ecdsa"
	"sync"
	"time"

	"tidings/channels/bearer"
)

// Apple takes a token for an hour, and calls it too often when it is renewed more than once in 20 minutes.
const (
	period = 50 * time.Minute
	soon   = 20 * time.Minute
)

// signer makes the JWTs. Their time of issue lies on a grid, and their signatures are deterministic: all workers use the same token
// and none of them counts as a renewal.
type signer struct {
	key         *ecdsa.PrivateKey
	keyID, team string

	mu      sync.Mutex
	current string
	issued  time.Time // as the token says
	ends    time.Time
}

func (s *signer) token(now time.Time) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != "" && now.Before(s.ends) && !now.Before(s.issued) {
		return s.current, nil
	}
	issued := now.Truncate(period)
	err := s.sign(issued, issued.Add(period))
	return s.current, err
}

// sign makes a token current.
func (s *signer) sign(issued, ends time.Time) (err error) {
	s.current, err = bearer.JWT(s.key, bearer.ES256, s.keyID, map[string]any{"iss": s.team, "iat": issued.Unix()})
	s.issued, s.ends = issued, ends
	return err
}

// renew replaces a token that Apple called expired, and tells whether there is another one to try. A token that is still fresh is
// not replaced: then our clock is wrong, and the next would fare no better.
func (s *signer) renew(expired string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != expired {
		return true
	}
	if now.Sub(s.issued) < soon {
		return false
	}
	return s.sign(now, now.Truncate(period).Add(period)) == nil
}

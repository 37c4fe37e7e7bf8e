// Package bearer holds what drivers show to prove who they are: tokens that a provider hands out for a while, and JWTs that
// we sign ourselves (RFC 7519, RFC 7518).
package bearer

import (
	"context"
	"fmt"
	"time"

	"tidings"
)

const (
	early   = time.Minute // a token is replaced so long before its end
	failure = time.Second // for so long all callers hear of a failure, instead of waiting in line for the same one
)

// Source gives a token out as long as it lives. Whoever finds it spent fetches the next one, and all others wait for him. It is
// safe for use by several goroutines.
type Source struct {
	fetch func(ctx context.Context) (token string, life time.Duration, err error)
	now   func() time.Time
	turn  chan struct{} // holds one: a lock that a caller can give up waiting for

	token    string
	ends     time.Time
	failed   error
	failedAt time.Time
}

// New returns a source that calls fetch for each new token.
func New(now func() time.Time, fetch func(ctx context.Context) (token string, life time.Duration, err error)) *Source {
	return &Source{fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

// Token returns the token. Its error is a *tidings.SendError that is Busy: nothing was sent for want of a token.
func (s *Source) Token(ctx context.Context) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", busy(context.Cause(ctx))
	}
	now := s.now()
	if s.token != "" && now.Before(s.ends) {
		return s.token, nil
	}
	if s.failed != nil && now.Sub(s.failedAt) < failure {
		return "", s.failed
	}
	token, life, err := s.fetch(ctx)
	s.token, s.ends, s.failed = token, now.Add(life-min(early, life/2)), nil
	if err != nil {
		s.token = ""
		if err = busy(err); ctx.Err() == nil {
			s.failed, s.failedAt = err, now
		}
	}
	return s.token, err
}

// Drop forgets a token that the provider refused, unless it was replaced meanwhile.
func (s *Source) Drop(token string) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.token == token {
		s.token = ""
	}
}

// busy makes of any error one that says that nothing was sent. What a driver has classed keeps its class, but an unanswered
// request for a token is not an unanswered delivery.
func busy(err error) error {
	e, ok := err.(*tidings.SendError)
	if !ok {
		return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: fmt.Errorf("no token: %w", err)}
	}
	if e.Outcome == tidings.Busy {
		return e
	}
	return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, After: e.After, Err: fmt.Errorf("no token: %w", e.Err)}
}

package api_test

import (
	"context"
	"sync"

	"tidings"
	"tidings/sql"
)

// store is the real store, beside which the answers of keyed requests are kept for Answered.
type store struct {
	*sql.DB
	mu      sync.Mutex
	answers map[[2]string]storedAnswer
}

type storedAnswer struct {
	hash   string
	answer tidings.Answer
}

func (s *store) Accept(ctx context.Context, r tidings.Request) (tidings.Answer, error) {
	a, err := s.DB.Accept(ctx, r)
	if err == nil && r.Key != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[[2]string{r.Application, r.Key}] = storedAnswer{r.Hash, a}
	}
	return a, err
}

func (s *store) Answered(_ context.Context, application, key, hash string) (tidings.Answer, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.answers[[2]string{application, key}]
	if ok && a.hash != hash {
		return tidings.Answer{}, false, tidings.Errorf(tidings.Unprocessable, "the key was used for another request")
	}
	return a.answer, ok, nil
}

package bearer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidings"
	"tidings/channels/bearer"
)

func TestATokenIsFetchedOnceForAllAndAgainBeforeItEnds(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var fetched atomic.Int64
	release := make(chan struct{})
	s := bearer.New(func() time.Time { return now }, func(context.Context) (string, time.Duration, error) {
		<-release
		return []string{"", "first", "second", "third"}[fetched.Add(1)], time.Hour, nil
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := s.Token(t.Context()); got != "first" || err != nil {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	close(release)
	wg.Wait()
	want := func(token string) {
		t.Helper()
		if got, err := s.Token(t.Context()); got != token || err != nil {
			t.Errorf("%q %v, want %q", got, err, token)
		}
	}
	now = now.Add(time.Hour - 2*time.Minute)
	want("first")
	now = now.Add(time.Minute)
	want("second")
	s.Drop("first") // refused late, and replaced since
	want("second")
	s.Drop("second")
	want("third")
}

func TestAFailureIsSharedForAMomentAndNeverUnknown(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	fetched := 0
	var answer error = &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: errors.New("no answer")}
	s := bearer.New(func() time.Time { return now }, func(context.Context) (string, time.Duration, error) {
		fetched++
		return "t", time.Hour, answer
	})
	for range 3 {
		token, err := s.Token(t.Context())
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Busy || e.Reason != tidings.ProviderDown || token != "" {
			t.Fatal(token, err)
		}
	}
	if fetched != 1 {
		t.Errorf("%d requests for a token, want 1", fetched)
	}
	now = now.Add(time.Second)
	answer = nil
	if token, err := s.Token(t.Context()); token != "t" || err != nil {
		t.Error(token, err)
	}
}

func TestWhoWaitsForATokenCanGiveUp(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := bearer.New(time.Now, func(context.Context) (string, time.Duration, error) {
		close(entered)
		<-release
		return "t", time.Hour, nil
	})
	go s.Token(context.Background())
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Token(ctx)
	if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Busy {
		t.Error(err)
	}
	close(release)
}

func TestSignaturesVerify(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[bearer.Algorithm]crypto.Signer{bearer.RS256: r, bearer.PS256: r, bearer.ES256: e} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := bearer.ParseKey(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		if err != nil {
			t.Fatal(err)
		}
		token, err := bearer.JWT(parsed, alg, "K1", map[string]any{"iss": "me"})
		if err != nil {
			t.Fatal(err)
		}
		read, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return key.Public(), nil }, jwt.WithValidMethods([]string{string(alg)}))
		if err != nil || read.Header["kid"] != "K1" || read.Claims.(jwt.MapClaims)["iss"] != "me" {
			t.Errorf("%s: %v", alg, err)
		}
		again, _ := bearer.JWT(parsed, alg, "K1", map[string]any{"iss": "me"})
		if same := again == token; same != (alg != bearer.PS256) {
			t.Errorf("%s: the same token twice: %v", alg, same)
		}
	}
	if _, err := bearer.JWT(e, bearer.RS256, "", nil); err == nil {
		t.Error("an elliptic key signed RS256")
	}
}

func TestABadKeyIsRefusedWithoutShowingIt(t *testing.T) {
	for _, text := range []string{"", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"} {
		_, err := bearer.ParseKey(text)
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

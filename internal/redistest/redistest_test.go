package redistest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"tidings/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTwoTestsDoNotSeeEachOthersKeys(t *testing.T) {
	ctx := context.Background()
	a, b := redistest.New(t), redistest.New(t)
	if err := a.Client.Set(ctx, "k", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Client.Exists(ctx, "k").Result(); err != nil || n != 0 {
		t.Fatalf("the other test sees %d keys, %v", n, err)
	}
}

func TestAKilledServerComesBackEmptyWithoutPersistence(t *testing.T) {
	ctx := context.Background()
	s := redistest.Start(t)
	if err := s.Client.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	s.Restart(t)
	if n, err := s.Client.Exists(ctx, "k").Result(); err != nil || n != 0 {
		t.Fatalf("%d keys after the crash, %v", n, err)
	}
}

func TestAKilledServerKeepsItsKeysWithAOF(t *testing.T) {
	ctx := context.Background()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	if err := s.Client.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	s.Restart(t)
	if v, err := s.Client.Get(ctx, "k").Result(); err != nil || v != "v" {
		t.Fatalf("%q after the crash, %v", v, err)
	}
}

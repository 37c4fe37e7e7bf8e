package redistest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/internal/proctest"
	"tidings/internal/redistest"
)

func TestASentinelsReplicaTakesOverFromAKilledMaster(t *testing.T) {
	ctx := context.Background()
	s := redistest.Sentinel(t)
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.Name, SentinelAddrs: s.Addresses})
	defer c.Close()
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Wait(ctx, 1, 0).Result(); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	s.Master.Kill(t)
	s.Promoted(t)
	if v, err := c.Get(ctx, "k").Result(); err != nil || v != "v" {
		t.Fatalf("%q, %v", v, err)
	}
}

func TestAClustersReplicaTakesOverAndASlotMoves(t *testing.T) {
	ctx := context.Background()
	c := redistest.Cluster(t, 1)
	for _, k := range []string{"a", "b", "c", "d", "{foo}"} {
		if err := c.Client.Set(ctx, k, "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// "foo" has slot 12182, the third master's.
	if c.Owner(t, "foo") != c.Masters[2] {
		t.Fatal("the third master does not own the slot of foo")
	}
	c.Move(t, 12182, c.Masters[2], c.Masters[1])
	if v, err := c.Client.Get(ctx, "{foo}").Result(); err != nil || v != "v" {
		t.Fatalf("%q, %v", v, err)
	}
	c.Masters[0].Kill(t)
	c.Promoted(t, c.Replicas[0])
	for _, k := range []string{"a", "b", "c", "d", "{foo}"} {
		err := proctest.Until(15*time.Second, func() error { // until the client has the new map
			v, err := c.Client.Get(ctx, k).Result()
			if err == nil && v != "v" {
				err = fmt.Errorf("it is %q", v)
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
	}
}

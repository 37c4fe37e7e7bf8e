package failover

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings"
	"tidings/internal/fleet"
	"tidings/internal/redistest"
	"tidings/internal/sqltest"
)

func TestWhenTheFirstProviderDiesTheSecondTakesOverAndNothingIsLostOrDoubled(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	database, redis := sqltest.Postgres(t), redistest.Start(t)
	binary, err := fleet.Build(dir)
	must(t, err)
	f := fleet.New(dir, binary, database, redis.URL)
	t.Cleanup(func() { must(t, f.Stop()) })
	api, err := f.Start("api", "api")
	must(t, err)
	_, err = f.Start("worker", "worker")
	must(t, err)
	db, err := pgx.Connect(ctx, database)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close(ctx)) })
	s := Site{Admin: fleet.NewClient(api.URL, fleet.AdminToken, 64), DB: db}
	for _, way := range Ways {
		r, err := Run(ctx, s, way, Load{Rates: map[tidings.Lane]int{tidings.Critical: 15, tidings.Normal: 10, tidings.Bulk: 15}, Before: 2 * time.Second, After: 4 * time.Second})
		if err != nil {
			t.Fatalf("%s: %v\n%s", way, err, f.Logs())
		}
		var b strings.Builder
		r.Print(&b)
		t.Log("\n" + b.String())
		if len(r.Lost) > 0 || len(r.Doubled) > 0 {
			t.Errorf("%s: lost %q, doubled %q\n%s", way, r.Lost, r.Doubled, f.Logs())
		}
		if r.First == 0 || r.Second == 0 || r.Sent != 240 {
			t.Errorf("%s: %d sent, %d and %d taken", way, r.Sent, r.First, r.Second)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

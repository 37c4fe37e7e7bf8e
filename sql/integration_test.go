package sql_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestIntegrationsAndTheirVersion(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		version, all, err := db.Configured(ctx, 0)
		if err != nil || version == 0 || all == nil || len(all) != 0 {
			t.Fatalf("empty: %d %v %v", version, all, err)
		}
		if again, all, err := db.Configured(ctx, version); err != nil || again != version || all != nil {
			t.Fatalf("nothing changed: %d %v %v", again, all, err)
		}
		put := func(id string, order int) tidings.Integration {
			i, err := db.PutIntegration(ctx, "integration.put", id, func(i *tidings.Integration, secrets map[string]string) ([]string, error) {
				*i = tidings.Integration{ID: id, Channel: tidings.SMS, Provider: "p", State: tidings.IntegrationActive, Order: order, Weight: 2,
					Settings: map[string]string{"url": "http://x"}, Rate: 2.5, Burst: 7, Parallel: 3}
				secrets["password"] = "marker-secret"
				return []string{"password"}, nil
			})
			must(t, err)
			return i
		}
		put("second", 2)
		first := put("first", 1)
		next, all, err := db.Configured(ctx, version)
		if err != nil || next == version || len(all) != 2 || all[0].ID != "first" || all[0].Values["password"] != "marker-secret" || all[0].Values["url"] != "http://x" {
			t.Fatalf("%d %+v %v", next, all, err)
		}
		if !reflect.DeepEqual(all[0].Integration, first) || !reflect.DeepEqual(first.Secrets, []string{"password"}) || first.Settings["password"] != "" {
			t.Errorf("%+v\n%+v", all[0].Integration, first)
		}
		changed, err := db.PutIntegration(ctx, "integration.pause", "first", func(i *tidings.Integration, secrets map[string]string) ([]string, error) {
			if secrets["password"] != "marker-secret" {
				t.Errorf("secrets are %v", secrets)
			}
			i.State = tidings.IntegrationPaused
			return nil, nil
		})
		if err != nil || changed.State != tidings.IntegrationPaused || changed.Rate != 2.5 {
			t.Errorf("%+v %v", changed, err)
		}
		refused := errors.New("no")
		if _, err := db.PutIntegration(ctx, "integration.put", "third", func(*tidings.Integration, map[string]string) ([]string, error) { return nil, refused }); !errors.Is(err, refused) {
			t.Error(err)
		}
		must(t, db.DeleteIntegration(ctx, "second"))
		wantCode(t, db.DeleteIntegration(ctx, "second"), tidings.NotFound)
		if list, err := db.Integrations(ctx); err != nil || len(list) != 1 {
			t.Errorf("%v %v", list, err)
		}
		log, err := db.Changes(ctx, tidings.ChangeQuery{Limit: 10})
		must(t, err)
		if len(log) != 4 || log[0].Action != "integration.delete" || !strings.Contains(string(log[2].Detail), `"secrets_set":["password"]`) {
			t.Errorf("the audit log: %+v", log)
		}
		for _, c := range log {
			if strings.Contains(string(c.Detail), "marker") {
				t.Errorf("the audit log shows a secret: %s", c.Detail)
			}
		}
	})
}

func TestHealthIsAddedUpOverWorkers(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx, now := context.Background(), time.Now()
		row := tidings.IntegrationHealth{Integration: "i", Worker: "a", Minute: now, Breaker: tidings.BreakerClosed, Calls: 5, Accepted: 5, P50: 10, P99: 50}
		must(t, db.RecordHealth(ctx, []tidings.IntegrationHealth{row}))
		row.Calls, row.Accepted, row.Busy = 8, 6, 2 // the same minute, written again
		other := row
		other.Worker, other.Breaker, other.P99, other.Error = "b", tidings.BreakerOpen, 900, "no route to +86 138 1234 5678 for a@b.example"
		old := row
		old.Worker, old.Minute = "c", now.Add(-2*time.Hour)
		must(t, db.RecordHealth(ctx, []tidings.IntegrationHealth{row, other, old}))
		h, err := db.Health(ctx, now)
		must(t, err)
		got := h["i"]
		if got.Calls != 16 || got.Accepted != 12 || got.Busy != 4 || got.P99 != 900 || got.Breaker != tidings.BreakerOpen || got.Success() != 0.75 {
			t.Errorf("%+v", got)
		}
		if got.Error != "no route to … for …" {
			t.Errorf("%q names a person", got.Error)
		}
		if h, err := db.Health(ctx, now.Add(-3*time.Hour)); err != nil || h["i"].Calls != 16 {
			t.Errorf("what is older than an hour is kept: %+v %v", h, err)
		}
	})
}

// keyed stands for a sealer with a key id.
type keyed struct{ now, old string }

func (k keyed) Prefix() string          { return k.now + ":" }
func (k keyed) Seal(_, s string) string { return k.Prefix() + s }
func (k keyed) Open(_, s string) (string, error) {
	id, text, _ := strings.Cut(s, ":")
	if id != k.now && id != k.old {
		return "", errors.New("another key")
	}
	return text, nil
}
func (k keyed) Blind(s string) string { return k.now + " of " + s }

func TestResealGoesOnWhereItWas(t *testing.T) {
	ctx := context.Background()
	for _, url := range []string{sqltest.SQLite(t), sqltest.Postgres(t)} {
		db, err := sql.Open(ctx, sql.Options{URL: url, Sealer: keyed{now: "k1"}})
		must(t, err)
		for _, u := range []string{"u1", "u2", "u3"} {
			must(t, db.PutUsers(ctx, []tidings.User{{ID: u}}))
			must(t, db.PutAddresses(ctx, u, []tidings.Address{{Channel: tidings.SMS, Value: "138" + u}}))
		}
		_, err = db.PutIntegration(ctx, "integration.put", "i", func(i *tidings.Integration, secrets map[string]string) ([]string, error) {
			secrets["a"] = "b"
			return nil, nil
		})
		must(t, err)
		must(t, db.Close())
		both, err := sql.Open(ctx, sql.Options{URL: url, Sealer: keyed{"k2", "k1"}})
		must(t, err)
		t.Cleanup(func() { must(t, both.Close()) })
		_, err = both.Raw().Exec("UPDATE addresses SET value = 'lost:1' WHERE user_id = 'u2'")
		must(t, err)
		if done, lost, err := both.Reseal(ctx, func(int, int) {}); err != nil || done != 3 || lost != 1 {
			t.Errorf("%d sealed, %d lost, %v", done, lost, err)
		}
		if done, lost, err := both.Reseal(ctx, func(int, int) {}); err != nil || done != 0 || lost != 1 {
			t.Errorf("again: %d sealed, %d lost, %v", done, lost, err)
		}
		var rows []string
		must(t, both.Raw().Select(&rows, "SELECT value || ' ' || blind FROM addresses ORDER BY user_id"))
		if want := []string{"k2:138u1 k2 of 138u1", "lost:1 k1 of 138u2", "k2:138u3 k2 of 138u3"}; !reflect.DeepEqual(rows, want) {
			t.Errorf("%v", rows)
		}
		if _, all, err := both.Configured(ctx, 0); err != nil || len(all) != 1 || all[0].Values["a"] != "b" {
			t.Errorf("%+v %v", all, err)
		}
	}
}

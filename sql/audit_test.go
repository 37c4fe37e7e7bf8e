package sql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestTheAuditLogFindsWhatWasDoneToIt(t *testing.T) {
	for name, damage := range map[string]string{
		"changed":            "UPDATE audit_log SET actor = 'other' WHERE number = 3",
		"changed with hash":  "UPDATE audit_log SET actor = 'other', hash = previous WHERE number = 3",
		"deleted":            "DELETE FROM audit_log WHERE number = 3",
		"cut off":            "DELETE FROM audit_log WHERE number > 3",
		"emptied":            "DELETE FROM audit_log",
		"exchanged":          "UPDATE audit_log SET number = CASE number WHEN 3 THEN -4 ELSE -3 END WHERE number IN (3, 4)",
		"appended by hand":   "INSERT INTO audit_log SELECT number + 1, at, actor, key, via, action, object, detail, hash, hash FROM audit_log WHERE number = 5",
		"the head put back":  "UPDATE counters SET value = 4 WHERE name = 'audit'",
		"the head exchanged": "UPDATE settings SET value = 'x' WHERE name = 'audit'",
	} {
		t.Run(name, func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, db *sql.DB) {
				for i := range 5 {
					must(t, db.Note(as("li"), "thing.do", fmt.Sprintf("thing %d", i), map[string]int{"i": i}))
				}
				report, err := db.VerifyAudit(context.Background(), tidings.AuditHead{})
				if err != nil || report.Bad != 0 || report.Rows != 5 {
					t.Fatalf("%+v %v", report, err)
				}
				do(t, db, damage)
				if name == "exchanged" {
					do(t, db, "UPDATE audit_log SET number = -number WHERE number < 0")
				}
				if bad, err := db.VerifyAudit(context.Background(), tidings.AuditHead{}); err != nil || bad.Bad == 0 || bad.Why == "" {
					t.Errorf("%+v %v", bad, err)
				}
			})
		})
	}
}

func TestAHeadKeptElsewhereFindsALogMadeAnew(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		must(t, db.Note(as("li"), "a.b", "x", nil))
		must(t, db.Note(as("li"), "a.b", "y", nil))
		report, err := db.VerifyAudit(ctx, tidings.AuditHead{})
		must(t, err)
		kept := report.Head
		must(t, db.Note(as("li"), "a.b", "z", nil))
		if report, err = db.VerifyAudit(ctx, kept); err != nil || report.Bad != 0 || report.Rows != 3 {
			t.Errorf("%+v %v", report, err)
		}
		for _, wipe := range []string{"DELETE FROM audit_log", "UPDATE counters SET value = 0 WHERE name = 'audit'", "UPDATE settings SET value = '' WHERE name = 'audit'"} {
			do(t, db, wipe)
		}
		if report, err = db.VerifyAudit(ctx, kept); err != nil || report.Bad == 0 {
			t.Errorf("emptied: %+v %v", report, err)
		}
		must(t, db.Note(as("li"), "a.b", "other", nil))
		must(t, db.Note(as("li"), "a.b", "other", nil))
		if report, err = db.VerifyAudit(ctx, kept); err != nil || report.Bad != 2 {
			t.Errorf("made anew: %+v %v", report, err)
		}
	})
}

func TestWritersAtOnceMakeOneChain(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		results := make(chan error, 20)
		for i := range 20 {
			go func() { results <- db.Note(as(fmt.Sprint("a", i%3)), "thing.do", "thing", nil) }()
		}
		for range 20 {
			must(t, <-results)
		}
		report, err := db.VerifyAudit(context.Background(), tidings.AuditHead{})
		if err != nil || report.Bad != 0 || report.Rows != 20 {
			t.Errorf("%+v %v", report, err)
		}
	})
}

func TestTheAuditLogIsSearched(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.SetApplicationState(as("li"), "orders", tidings.ApplicationSuspended))
		wantCode(t, db.SetApplicationState(as("li"), "none", tidings.ApplicationSuspended), tidings.NotFound)
		for _, c := range []struct {
			q    tidings.ChangeQuery
			want int
		}{
			{tidings.ChangeQuery{Actor: "li"}, 1}, {tidings.ChangeQuery{Action: "application"}, 3}, {tidings.ChangeQuery{Action: "application.suspend"}, 1},
			{tidings.ChangeQuery{Object: "type orders/"}, 1}, {tidings.ChangeQuery{Actor: "li", Since: time.Now().Add(time.Hour)}, 0}, {tidings.ChangeQuery{Action: "app"}, 0},
		} {
			c.q.Limit = 10
			got, err := db.Changes(ctx, c.q)
			if must(t, err); len(got) != c.want {
				t.Errorf("%+v: %+v", c.q, got)
			}
		}
	})
}

func TestAccountsAndTheirSessions(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx, now := as("root"), time.Now().UTC().Truncate(time.Microsecond)
		a := tidings.Account{ID: "li", Name: "Li", Role: tidings.RoleViewer, State: tidings.AccountActive, Locale: "zh"}
		must(t, db.CreateAccount(ctx, a))
		wantCode(t, db.CreateAccount(ctx, a), tidings.Conflict)
		for _, hash := range []string{"h1", "h2"} {
			must(t, db.CreateSession(ctx, tidings.Session{Hash: hash, Account: "li", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}))
		}
		must(t, db.SessionSeen(ctx, "h1", now.Add(time.Minute)))
		if s, err := db.Session(ctx, "h1"); err != nil || !s.SeenAt.Equal(now.Add(time.Minute)) || s.Account != "li" {
			t.Errorf("%+v %v", s, err)
		}
		must(t, db.EndSession(ctx, "h2"))
		_, err := db.UpdateAccount(ctx, "li", func(a *tidings.Account) error { a.Locale = "en"; return nil })
		must(t, err)
		if _, err := db.Session(ctx, "h1"); err != nil {
			t.Errorf("another language ended the session: %v", err)
		}
		_, err = db.UpdateAccount(ctx, "li", func(a *tidings.Account) error { a.Role = tidings.RoleAdmin; return nil })
		must(t, err)
		_, err = db.Session(ctx, "h1")
		wantCode(t, err, tidings.NotFound)
		if got, err := db.Account(ctx, "li"); err != nil || got.SignedInAt.IsZero() || got.Role != tidings.RoleAdmin {
			t.Errorf("%+v %v", got, err)
		}
		_, err = db.UpdateAccount(ctx, "none", func(*tidings.Account) error { return nil })
		wantCode(t, err, tidings.NotFound)
	})
}

// do changes the record behind the store's back.
func do(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	_, err := db.Raw().Exec(statement)
	must(t, err)
}

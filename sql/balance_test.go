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

// balanced reads the balance with a settle time that nothing in a test reaches.
func balanced(t testing.TB, db *sql.DB) tidings.Balance {
	t.Helper()
	b, err := db.Balance(context.Background(), time.Hour)
	must(t, err)
	return b
}

func TestABalancedRecordHasNoFaults(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		everyKindOfMessage(t, db)
		b := balanced(t, db)
		if len(b.Faults) > 0 || b.Open != 0 || b.Messages != 5 || b.Overdue != 0 {
			t.Fatalf("%+v", b)
		}
		if b.Deliveries[tidings.Sent] == 0 || b.Deliveries[tidings.Held] == 0 || b.Deliveries[tidings.Suppressed] == 0 || b.Deliveries[tidings.Failed] == 0 {
			t.Errorf("the sample lacks a state: %v", b.Deliveries)
		}
	})
}

// everyKindOfMessage leaves a record with delivered, suppressed, failed and held deliveries, and a message to nobody.
func everyKindOfMessage(t *testing.T, db *sql.DB) {
	t.Helper()
	both := []tidings.Channel{tidings.Web, tidings.SMS}
	send(t, db, tidings.Message{Audience: tidings.Audience{Merchants: []string{"acme"}}, Channels: both})
	send(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"rita", "ann"}}, Channels: both})
	send(t, db, tidings.Message{Audience: tidings.Audience{Everyone: true}, Data: []byte(`{"fail":true}`)})
	send(t, db, tidings.Message{Audience: tidings.Audience{Stores: []string{"r.1"}}, SendAt: time.Now().Add(30 * time.Minute)})
	send(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"nobody"}}})
}

func TestTheBalanceHoldsAfterEveryStepOfTheRoad(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		accept(t, db, tidings.Message{Audience: tidings.Audience{Merchants: []string{"acme"}}, Channels: []tidings.Channel{tidings.Web, tidings.SMS}})
		for steps := 0; ; steps++ {
			if b := balanced(t, db); len(b.Faults) > 0 {
				t.Fatalf("after %d steps: %+v", steps, b.Faults)
			}
			open, err := db.Untouched(context.Background(), 0, 1)
			must(t, err)
			if len(open) == 0 {
				if steps < 5 {
					t.Fatalf("only %d steps", steps)
				}
				return
			}
			must(t, stages[open[0].Stage](db, open[0]))
		}
	})
}

func TestTheBalanceMissesEachSingleRow(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		everyKindOfMessage(t, db)
		must(t, db.Receive(context.Background(), tidings.Receipt{Attempt: anAttempt(t, db), Kind: tidings.ReceiptDelivered}))
		keys := map[string]string{
			"batches": "id", "messages": "id", "segments": "id", "notifications": "message_id, user_id",
			"contents": "message_id, channel, locale", "deliveries": "message_id, user_id, channel", "inbox": "user_id, number",
			"attempts": "id", "inboxes": "user_id",
		}
		for table, key := range keys {
			if n := missEach(t, db, table, key); n == 0 {
				t.Errorf("the sample has no %s", table)
			}
		}
	})
}

// missEach deletes each row of a table in turn, asks the balance, and puts the row back. It returns how many rows it tried.
func missEach(t *testing.T, db *sql.DB, table, key string) (n int) {
	t.Helper()
	raw := db.Raw()
	rows, err := raw.Queryx("SELECT * FROM " + table + " ORDER BY " + key)
	must(t, err)
	var all []map[string]any
	for rows.Next() {
		row := map[string]any{}
		must(t, rows.MapScan(row))
		all = append(all, row)
	}
	must(t, rows.Err())
	for _, row := range all {
		if table == "inboxes" && fmt.Sprint(row["head"]) == "0" {
			continue // it expects nothing
		}
		where, insert := statements(table, key, row)
		result, err := raw.NamedExec("DELETE FROM "+table+" WHERE "+where, row)
		must(t, err)
		if gone, err := result.RowsAffected(); err != nil || gone != 1 {
			t.Fatalf("%s %v: %d rows deleted, %v", table, row, gone, err)
		}
		if b := balanced(t, db); len(b.Faults) == 0 {
			t.Errorf("the balance does not miss %s %v", table, row)
		}
		_, err = raw.NamedExec(insert, row)
		must(t, err)
		n++
	}
	if b := balanced(t, db); len(b.Faults) > 0 {
		t.Fatalf("%s is whole again, and yet: %+v", table, b.Faults)
	}
	return n
}

func statements(table, key string, row map[string]any) (where, insert string) {
	var names, values string
	for column := range row {
		if names != "" {
			names, values = names+", ", values+", "
		}
		names, values = names+column, values+":"+column
	}
	for i, column := range splitKey(key) {
		if i > 0 {
			where += " AND "
		}
		where += column + " = :" + column
	}
	return where, "INSERT INTO " + table + " (" + names + ") VALUES (" + values + ")"
}

func splitKey(key string) (columns []string) {
	start := 0
	for i := range key {
		if key[i] == ',' {
			columns, start = append(columns, key[start:i]), i+2
		}
	}
	return append(columns, key[start:])
}

func anAttempt(t *testing.T, db *sql.DB) (id tidings.ID) {
	t.Helper()
	must(t, db.Raw().Get(&id, "SELECT min(id) FROM attempts"))
	return id
}

func TestWhatShouldHaveMovedIsOverdue(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		id := accept(t, db, toUsers("ann"))
		b, err := db.Balance(context.Background(), -time.Second) // everything open is overdue by then
		must(t, err)
		if b.Overdue != 1 || len(b.Faults) != 1 || b.Faults[0].Rule != "overdue" {
			t.Fatalf("an untouched segment: %+v", b)
		}
		drive(t, db)
		_, err = db.Raw().Exec("UPDATE deliveries SET state = 'queued'")
		must(t, err)
		b, err = db.Balance(context.Background(), -time.Second)
		must(t, err)
		if want := "message " + id.String() + " ann web"; b.Overdue != 1 || b.Faults[0].Where != want {
			t.Fatalf("a queued delivery without a segment: %+v, want %s", b, want)
		}
	})
}

func TestAMessageThatWasNeverAcquiredIsAFaultOnceNothingIsLeftToDo(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		accept(t, db, toUsers("ann"))
		_, err := db.Raw().Exec("UPDATE segments SET finished_at = 1")
		must(t, err)
		if b := balanced(t, db); len(b.Faults) == 0 {
			t.Fatal("nobody works on it and nobody misses it")
		}
	})
}

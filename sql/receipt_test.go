package sql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestAReportIsKeptOnceSealedAndBounded(t *testing.T) {
	ctx := context.Background()
	for _, url := range []string{sqltest.SQLite(t), sqltest.Postgres(t)} {
		db, err := sql.Open(ctx, sql.Options{URL: url, Sealer: keyed{now: "k1"}})
		must(t, err)
		openShop(t, db)
		send(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"ann"}}, Channels: []tidings.Channel{tidings.SMS}})
		attempt := anAttempt(t, db)
		report := tidings.Receipt{Attempt: attempt, Kind: tidings.ReceiptAccepted, Detail: "d", Raw: "POST a=1\n" + strings.Repeat("订", 4000) + "\x00"}
		must(t, db.Receive(ctx, report))
		must(t, db.Receive(ctx, report)) // again, as providers do
		delivered := tidings.Receipt{Attempt: attempt, Kind: tidings.ReceiptDelivered, Raw: report.Raw}
		must(t, db.Receive(ctx, delivered)) // another one of the same report
		must(t, db.Receive(ctx, report))    // and the first, late
		must(t, db.Receive(ctx, delivered))
		var rows []struct{ Kind, Raw, Hash string }
		must(t, db.Raw().Select(&rows, "SELECT kind, raw, hash FROM receipts ORDER BY id"))
		if len(rows) != 2 || rows[0].Kind != "accepted" || rows[1].Kind != "delivered" || rows[0].Hash == rows[1].Hash {
			t.Fatalf("%d rows: %.200v", len(rows), rows)
		}
		for _, r := range rows {
			if text, ok := strings.CutPrefix(r.Raw, "k1:POST a=1\n订订"); !ok || len(r.Raw) > 8<<10+3 || len(r.Raw) < 8<<10-8 || strings.Contains(text, "\x00") || !strings.HasPrefix(r.Hash, "k1 of ") || strings.Contains(r.Hash, "订") {
				t.Errorf("%d bytes, %.60s, %s", len(r.Raw), r.Raw, r.Hash)
			}
		}
		var state string
		must(t, db.Raw().Get(&state, "SELECT state FROM deliveries WHERE user_id = 'ann'"))
		if state != "delivered" {
			t.Errorf("a late report moved it back to %s", state)
		}
		for i := range 60 {
			must(t, db.Receive(ctx, tidings.Receipt{Attempt: attempt, Kind: tidings.ReceiptBuffered, Detail: fmt.Sprint(i), Raw: "x"}))
		}
		var n int
		must(t, db.Raw().Get(&n, "SELECT count(*) FROM receipts"))
		if n != 50 {
			t.Errorf("%d receipts of one attempt are kept", n)
		}
		must(t, db.Close())

		both, err := sql.Open(ctx, sql.Options{URL: url, Sealer: keyed{"k2", "k1"}})
		must(t, err)
		t.Cleanup(func() { must(t, both.Close()) })
		_, _, err = both.Reseal(ctx, func(int, int) {})
		must(t, err)
		must(t, both.Raw().Get(&n, "SELECT count(*) FROM receipts WHERE raw LIKE 'k2:%'"))
		if n != 50 {
			t.Errorf("%d reports are sealed anew", n)
		}
	}
}

// An address that was taken back while its delivery was on the road must not stop the segment for the others.
func TestADeliveryWhoseAddressIsGoneIsReadWithoutOne(t *testing.T) {
	ctx := context.Background()
	for _, url := range []string{sqltest.SQLite(t), sqltest.Postgres(t)} {
		db, err := sql.Open(ctx, sql.Options{URL: url, Sealer: keyed{"k1", "k0"}})
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		openShop(t, db)
		id := accept(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"ann"}}, Channels: []tidings.Channel{tidings.SMS}})
		var out []tidings.Outgoing
		for len(out) == 0 {
			open, err := db.Untouched(ctx, 0, 10)
			must(t, err)
			if len(open) == 0 {
				t.Fatal("nothing came to deliver")
			}
			for _, s := range open {
				if s.Stage != tidings.Deliver {
					must(t, stages[s.Stage](db, s))
					continue
				}
				_, err := db.Raw().Exec("DELETE FROM addresses WHERE user_id = 'ann'")
				must(t, err)
				claim, items, err := db.Claim(ctx, s, time.Minute)
				must(t, err)
				out, err = db.Outgoing(ctx, claim, items)
				must(t, err)
			}
		}
		if len(out) != 1 || out[0].Message != id || out[0].Call.Address.Value != "" {
			t.Errorf("%+v", out)
		}
	}
}

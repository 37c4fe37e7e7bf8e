package sql_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidings/internal/sqltest"
	"tidings/sql"
)

// What every process asks every second costs the same however much waits for its time: a night's campaign that is held, questions of half a day,
// cancels of a year.
func TestWhatIsAskedEverySecondLooksAtNothingThatIsNotDue(t *testing.T) {
	ctx := context.Background()
	db := sqltest.Open(t, sqltest.Postgres(t))
	const later = "now_us() + 3600000000 + i"
	for _, statement := range []string{
		`INSERT INTO deliveries (message_id, user_id, channel, application, lane, state, locale, due_at, expires_at, segment, changed_at)
			SELECT i, 'u', 'sms', 'a', (ARRAY['critical', 'normal', 'bulk'])[1 + i % 3], 'held', '', ` + later + `, ` + later + `, 1, 1 FROM generate_series(1, 6000) i`,
		`INSERT INTO attempts (id, message_id, user_id, channel, n, provider, state, started_at, ask_at) SELECT i, i, 'u', 'sms', 1, 'p', 'sent', 1, ` + later + ` FROM generate_series(1, 6000) i`,
		`INSERT INTO digest_items (message_id, user_id, channel, application, type, ready_at, due_at) SELECT i, 'u', 'sms', 'a', 't', ` + later + `, ` + later + ` FROM generate_series(1, 6000) i`,
		`INSERT INTO segments (id, parent, batch, lane, application, stage, channel, part, size, items, touched_at)
			SELECT i, 1, 1, 'bulk', 'a', 'deliver', 'sms', 0, 1, '{}', ` + later + ` FROM generate_series(1, 6000) i`,
		"ANALYZE",
	} {
		if _, err := db.Raw().Exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	removed := regexp.MustCompile(`Rows Removed by Filter: (\d+)`)
	for name, args := range map[string][]any{"anything-due": nil, "due-deliveries": {5000, "bulk"}, "due-digests": {5000}, "due-escalations": {5000}, "anything-to-ask": nil,
		"take-questions": {100, 13, 1000}, "lost-segments": {15000000, 1000}, "canceled-messages": {[]int64{1}}} {
		did, err := db.Explain(ctx, name, args...)
		if err != nil {
			t.Fatal(name, err)
		}
		looked := 0
		for _, found := range removed.FindAllStringSubmatch(strings.Join(did, "\n"), -1) {
			n, _ := strconv.Atoi(found[1])
			looked += n
		}
		if looked > 10 {
			t.Errorf("%s looked at %d rows that are not due:\n%s", name, looked, strings.Join(did, "\n"))
		}
	}
}

func TestOfWhatIsDueTheMostUrgentGoesFirst(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		for i, lane := range []string{"bulk", "bulk", "bulk", "bulk", "normal", "bulk", "critical", "bulk"} {
			_, err := db.Raw().Exec(`INSERT INTO deliveries (message_id, user_id, channel, application, lane, state, locale, due_at, expires_at, segment, changed_at)
				VALUES (` + strconv.Itoa(i+1) + `, 'u', 'sms', 'a', '` + lane + `', 'held', '', ` + strconv.Itoa(i+1) + `, 9000000000000000, 1, 1)`)
			must(t, err)
		}
		due, err := db.Due(context.Background(), 4)
		must(t, err)
		var got []string
		for _, s := range due {
			got = append(got, fmt.Sprint(s.Lane, s.Size))
		}
		if want := []string{"critical1", "normal1", "bulk2"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

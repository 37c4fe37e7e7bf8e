package sql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidings"
)

// What endpoints are told of is noted by triggers, in the transaction of the change and whichever statement makes it: a dozen places move
// deliveries, and one forgotten would be an event that nobody misses. Their conditions name the applications and states that an
// active endpoint asks for, as constants. So a row of any other application costs a comparison, and with no endpoint the conditions are
// false: no row is looked at, read or written.

// watched is what active endpoints ask for.
type watched struct {
	states  []string // of deliveries
	senders []string // applications that are told of deliveries
	readers []string // applications that are told of reads
	enders  []string // applications that are told of messages that ended without an audience
}

func watchedBy(rows []watchedRow) (w watched) {
	states, senders, readers, enders := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range rows {
		for event := range strings.FieldsFuncSeq(r.Events, func(c rune) bool { return c == ',' }) {
			if state, ok := strings.CutPrefix(event, "delivery."); ok {
				states[state], senders[r.Application] = true, true
			}
			switch tidings.EventType(event) {
			case tidings.EventRead:
				readers[r.Application] = true
			case tidings.EventEnded:
				enders[r.Application] = true
			}
		}
	}
	sorted := func(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
	return watched{sorted(states), sorted(senders), sorted(readers), sorted(enders)}
}

type watchedRow struct{ Application, Events string }

// watch makes f's changes of endpoints, and then the triggers what the endpoints ask for. Of two such transactions the second waits for the
// first and sees what it did.
func (t *tx) watch(ctx context.Context, f func() error) error {
	var was string
	if err := t.Get(ctx, &was, "lock-watch"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	var rows []watchedRow
	if err := t.Select(ctx, &rows, "watched"); err != nil {
		return err
	}
	statements := t.db.dialect.triggers(watchedBy(rows))
	now := strings.Join(statements, "\n")
	if was == now {
		return nil
	}
	for _, s := range statements {
		if _, err := t.x.ExecContext(ctx, s); err != nil {
			return busy(err)
		}
	}
	_, err := t.Exec(ctx, "set-watch", now)
	return err
}

// busy: 55P03 lock_not_available (PostgreSQL, appendix A).
func busy(err error) error {
	if e, ok := asPg(err); ok && e.Code == "55P03" {
		return &tidings.Error{Code: tidings.Unavailable, Detail: "the record is busy with something that takes its time; try again", After: lockPatience, Err: err}
	}
	return fmt.Errorf("watch: %w", err)
}

// triggers are the statements that make the triggers. On PostgreSQL they are replaced in place, under a lock that readers do not
// notice and writers only as long as those under way take.
func (d dialect) triggers(w watched) []string {
	moves := "NEW.state IN (" + quoted(w.states) + ") AND NEW.application IN (" + quoted(w.senders) + ")"
	if len(w.senders) == 0 {
		moves = "false"
	}
	reads := "OLD.read_at = 0 AND NEW.read_at > 0"
	if len(w.readers) == 0 {
		reads = "false"
	}
	ends := "NEW.reason <> ''"
	if len(w.enders) == 0 {
		ends = "false"
	}
	note := func(columns, values, application, event string) string {
		return fmt.Sprintf(`INSERT INTO events (endpoint, application, type, %s, at, due_at, until_at)
SELECT e.id, e.application, %s, %s FROM endpoints e, messages m
WHERE m.id = NEW.message_id AND e.application = %s AND e.state = 'active' AND instr(e.events, ',' || %s || ',') > 0`, columns, event, values, application, event)
	}
	later := fmt.Sprint(tidings.EventPatience.Microseconds())
	delivery := note("message_id, message_type, user_id, channel, reason",
		"NEW.message_id, m.type, NEW.user_id, NEW.channel, NEW.reason, NEW.changed_at, NEW.changed_at, NEW.changed_at + "+later, "NEW.application", "'delivery.' || NEW.state")
	read := note("message_id, message_type, user_id",
		"NEW.message_id, m.type, NEW.user_id, NEW.read_at, NEW.read_at, NEW.read_at + "+later, "m.application", "'"+string(tidings.EventRead)+"'")
	if len(w.readers) > 0 {
		read += " AND e.application IN (" + quoted(w.readers) + ")"
	}
	end := note("message_id, message_type, reason", "NEW.message_id, m.type, NEW.reason, now_us(), now_us(), now_us() + "+later, "m.application", "'"+string(tidings.EventEnded)+"'")
	if len(w.enders) > 0 {
		end += " AND e.application IN (" + quoted(w.enders) + ")"
	}
	// A read moves the notification first and deliveries then: the locks are taken in the same order.
	made := []struct{ name, on, when, body string }{
		{"note_read", "UPDATE OF read_at ON notifications", reads, read},
		{"note_planned", "INSERT ON deliveries", moves, delivery},
		{"note_moved", "UPDATE OF state ON deliveries", "NEW.state <> OLD.state AND " + moves, delivery},
		{"note_nobody", "INSERT ON audiences", ends, end},
		{"note_ended", "UPDATE OF reason ON audiences", "OLD.reason = '' AND " + ends, end},
	}
	var out []string
	if d.postgres {
		out = append(out, fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", lockPatience.Milliseconds()))
	}
	for _, m := range made {
		if d.postgres {
			out = append(out, "CREATE OR REPLACE FUNCTION "+m.name+"() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN "+m.body+"; RETURN NULL; END $note$",
				"CREATE OR REPLACE TRIGGER "+m.name+" AFTER "+m.on+" FOR EACH ROW WHEN ("+m.when+") EXECUTE FUNCTION "+m.name+"()")
			continue
		}
		out = append(out, "DROP TRIGGER IF EXISTS "+m.name)
		if !strings.HasSuffix(m.when, "false") {
			out = append(out, "CREATE TRIGGER "+m.name+" AFTER "+m.on+" FOR EACH ROW WHEN "+m.when+" BEGIN "+m.body+"; END")
		}
	}
	return out
}

// quoted writes texts as SQL literals.
func quoted(texts []string) string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return strings.Join(out, ", ")
}

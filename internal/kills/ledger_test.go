package kills

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings"
)

// attempt is one of the record's.
type attempt struct {
	n                int
	state, key       string
	started, ended   int64 // µs
	reports, answers int   // receipts that the provider sent of itself, and that it gave when asked
}

// line is the account of one provider.
type line struct {
	provider        string
	kills, accepted int
	receipt, query  int // unknown that was settled
	byKey, byType   int // sent again, under the key by which the provider drops a repeat, or because the type allows it
	visible         int // unknown, and so it stands
	blind           int // sent again without either
	repeats         int // that the far side did not drop
}

type ledger struct {
	lines []line
	wrong []string
}

func (l *ledger) String() string {
	var b strings.Builder
	b.WriteString("| provider | kills | accepted by the far side | settled by receipt | settled by query | sent again by key | sent again by type | unknown, visible | repeats at the far side | blind resends |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, i := range l.lines {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", i.provider, i.kills, i.accepted, i.receipt, i.query, i.byKey, i.byType, i.visible, i.repeats, i.blind)
	}
	return b.String()
}

// open are the messages of which an attempt has no result in the record; a receipt may have overtaken it.
func (s *site) open() map[string]bool {
	rows, err := s.db.Query(context.Background(), "SELECT message_id FROM attempts WHERE ended_at = 0")
	must(s.t, err)
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var id int64
		must(s.t, rows.Scan(&id))
		found[tidings.ID(id).String()] = true
	}
	must(s.t, rows.Err())
	return found
}

// attempts are those of every message, in their order.
func (s *site) attempts() map[string][]attempt {
	rows, err := s.db.Query(context.Background(), `SELECT message_id, n, state, key, started_at, ended_at,
		(SELECT count(*) FROM receipts r WHERE r.attempt = attempts.id AND raw <> ''), (SELECT count(*) FROM receipts r WHERE r.attempt = attempts.id AND raw = '')
		FROM attempts ORDER BY message_id, n`)
	must(s.t, err)
	defer rows.Close()
	found := map[string][]attempt{}
	for rows.Next() {
		var id int64
		var a attempt
		must(s.t, rows.Scan(&id, &a.n, &a.state, &a.key, &a.started, &a.ended, &a.reports, &a.answers))
		found[tidings.ID(id).String()] = append(found[tidings.ID(id).String()], a)
	}
	must(s.t, rows.Err())
	return found
}

func (s *site) states() map[string]string {
	rows, err := s.db.Query(context.Background(), "SELECT message_id, state FROM deliveries")
	must(s.t, err)
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var id int64
		var state string
		must(s.t, rows.Scan(&id, &state))
		found[tidings.ID(id).String()] = state
	}
	must(s.t, rows.Err())
	return found
}

// account compares what each far side accepted with what the record says.
func (s *site) account(all []killed) *ledger {
	l := &ledger{}
	attempts, states := s.attempts(), s.states()
	slices.SortFunc(s.fars, func(a, b far) int { return strings.Compare(a.provider, b.provider) })
	for _, f := range s.fars {
		i := line{provider: f.provider}
		times := map[string]int{}
		for _, text := range f.seen() {
			times[text]++
		}
		for _, k := range all {
			if k.provider == f.provider {
				l.judge(&i, k, times[k.text], states[k.message], attempts[k.message])
			}
		}
		if i.kills != i.receipt+i.query+i.byKey+i.byType+i.visible {
			l.wrong = append(l.wrong, fmt.Sprintf("%s does not add up: %+v", f.provider, i))
		}
		l.lines = append(l.lines, i)
	}
	return l
}

// judge decides on one delivery: times is how often its far side took it.
func (l *ledger) judge(i *line, k killed, times int, state string, as []attempt) {
	wrong := func(format string, args ...any) {
		l.wrong = append(l.wrong, fmt.Sprintf("%s (%s): ", k.text, k.provider)+fmt.Sprintf(format, args...))
	}
	i.kills++
	if times > 0 {
		i.accepted++
		i.repeats += times - 1
	} else {
		wrong("lost by the far side")
	}
	if times > len(as) {
		i.blind++
		wrong("accepted %d times, %d attempts", times, len(as))
	}
	switch {
	case len(as) == 0:
		wrong("no attempt")
	case len(as) > 1:
		l.again(i, k, as, wrong)
	case as[0].reports > 0:
		i.receipt++
	case as[0].answers > 0:
		i.query++
	case state == "unknown" && as[0].state == "unknown":
		i.visible++
	default:
		wrong("%s after an attempt that is %s", state, as[0].state)
	}
	if state != "unknown" && state != "sent" && state != "delivered" {
		wrong("it is %s", state)
	}
}

// again judges a delivery that was sent again: its type must allow it, what came before must have been settled as unknown, and not before its
// receipt had its time; a key must stay the same. A failed attempt was not taken, and what comes after it is judged by those before it.
func (l *ledger) again(i *line, k killed, as []attempt, wrong func(string, ...any)) {
	fair, before := k.again, as[0]
	for _, next := range as[1:] {
		waited := time.Duration(next.started-before.ended) * time.Microsecond
		if before.state != "unknown" || before.ended == 0 || waited < 18*time.Second || before.key != next.key {
			fair = false
		}
		if next.state != "failed" {
			before = next
		}
	}
	switch {
	case !fair:
		i.blind++
		wrong("sent again: %+v", as)
	case as[0].key != "":
		i.byKey++
	default:
		i.byType++
	}
}

package chaos

import (
	"context"
	"fmt"
	"strings"
)

// ledger is the account at the end, in the words that RabbitMQ's Jepsen tests use.
type ledger struct {
	attempted, acknowledged, ok int
	lost, duplicated            []string // on the web
	unexpected                  []string // seen and never acknowledged
	faults                      []string // of browsers: a hole, a reset, a wrong order
	smsLost, smsDuplicated      []string
	smsUnknown, smsResent       int // explained by an attempt of unknown outcome
	appLost, appDuplicated      []string
	appUnknown, appResent       int
	wireRepeats, returns        int
}

func (l *ledger) String() string {
	return fmt.Sprintf(`attempted %d  acknowledged %d  ok %d
web   lost %d  duplicated %d  unexpected %d  faults %d   (repeats on the wire %d, reconnections %d)
sms   lost %d  duplicated %d   (unknown %d, sent again as the type allows %d)
app   lost %d  duplicated %d   (unknown %d, sent again as the type allows %d)`,
		l.attempted, l.acknowledged, l.ok, len(l.lost), len(l.duplicated), len(l.unexpected), len(l.faults), l.wireRepeats, l.returns,
		len(l.smsLost), len(l.smsDuplicated), l.smsUnknown, l.smsResent, len(l.appLost), len(l.appDuplicated), l.appUnknown, l.appResent)
}

// wrong lists what must not be, a few of each.
func (l *ledger) wrong() string {
	var b strings.Builder
	for _, w := range []struct {
		name string
		list []string
	}{{"web lost", l.lost}, {"web duplicated", l.duplicated}, {"web unexpected", l.unexpected}, {"browser", l.faults},
		{"sms lost", l.smsLost}, {"sms duplicated", l.smsDuplicated}, {"app lost", l.appLost}, {"app duplicated", l.appDuplicated}} {
		for _, line := range w.list[:min(len(w.list), 10)] {
			fmt.Fprintf(&b, "%s: %s\n", w.name, line)
		}
	}
	return b.String()
}

// web compares what was acknowledged with what each browser of its user has.
func (l *ledger) web(acked map[string]sent, browsers []*browser) {
	l.acknowledged = len(acked)
	texts := map[string]string{}
	for id, m := range acked {
		if other, ok := texts[m.text]; ok {
			l.duplicated = append(l.duplicated, fmt.Sprintf("one request became %s and %s", id, other))
		}
		texts[m.text] = id
	}
	seen := map[string]int{} // browsers that have the message
	of := map[string]int{}   // browsers of a user
	for _, b := range browsers {
		of[b.user]++
		l.wireRepeats += b.repeats
		l.returns += b.returns
		for _, f := range b.faults {
			l.faults = append(l.faults, b.id+": "+f)
		}
		once := map[string]bool{}
		for _, id := range b.entries {
			m, ok := acked[id]
			switch {
			case !ok || m.user != b.user:
				l.unexpected = append(l.unexpected, b.id+" saw "+id)
			case once[id]:
				l.duplicated = append(l.duplicated, b.id+" saw "+id+" under two numbers")
			}
			once[id] = true
			seen[id]++
		}
	}
	for id, m := range acked {
		if seen[id] < of[m.user] {
			l.lost = append(l.lost, fmt.Sprintf("%s for %s: %d of %d browsers have it", id, m.user, seen[id], of[m.user]))
		} else {
			l.ok++
		}
	}
}

// outcome is what the record says of a delivery by a provider.
type outcome struct {
	state    string
	attempts int
	unknown  int // attempts whose outcome nobody knew
}

// outcomes reads the deliveries of a channel by message.
func (s *site) outcomes(channel string) map[int64]outcome {
	rows, err := s.db.Query(context.Background(), `SELECT d.message_id, d.state, d.attempts,
		(SELECT count(*) FROM attempts a WHERE a.message_id = d.message_id AND a.user_id = d.user_id AND a.channel = d.channel
			AND (a.state = 'unknown' OR a.reason IN ('interrupted', 'provider_silent')))
		FROM deliveries d WHERE d.channel = $1`, channel)
	must(s.t, err)
	defer rows.Close()
	found := map[int64]outcome{}
	for rows.Next() {
		var id int64
		var o outcome
		must(s.t, rows.Scan(&id, &o.state, &o.attempts, &o.unknown))
		found[id] = o
	}
	must(s.t, rows.Err())
	return found
}

// judge decides on one message by a provider: times is how often its far side took it.
func judge(what string, times int, o outcome, resend bool, lost, duplicated *[]string, unknown, resent *int) {
	switch {
	case times == 0 && o.state == "unknown":
		*unknown++
	case times == 0:
		*lost = append(*lost, fmt.Sprintf("%s: %s after %d attempts", what, o.state, o.attempts))
	case times > 1 && resend && o.unknown >= times-1:
		*resent++
	case times > 1:
		*duplicated = append(*duplicated, fmt.Sprintf("%s: %d times, %s, %d attempts, %d of them unknown", what, times, o.state, o.attempts, o.unknown))
	}
}

package sql

import (
	"context"

	"tidings"
)

// laterRows are what is known of routes of messages, for those who ask how they fare.
type laterRows struct {
	families map[tidings.ID]tidings.ID
	steps    map[tidings.ID][]tidings.Escalation
}

func (db *DB) later(ctx context.Context, messages []int64) (l laterRows, err error) {
	ids := make([]tidings.ID, len(messages))
	for i, m := range messages {
		ids[i] = tidings.ID(m)
	}
	if l.families, err = db.Families(ctx, ids); err != nil || len(l.families) == 0 {
		return l, err
	}
	var rows []struct {
		Message  int64 `db:"message_id"`
		Step     int
		Target   string
		Channels string
		DueAt    int64 `db:"due_at"`
		State    tidings.State
		Reason   tidings.Reason
		Child    int64
	}
	if err := db.Select(ctx, &rows, "escalations-of", columns(messages)); err != nil {
		return l, err
	}
	l.steps = map[tidings.ID][]tidings.Escalation{}
	for _, r := range rows {
		id := tidings.ID(r.Message)
		l.steps[id] = append(l.steps[id], tidings.Escalation{Message: id, Step: r.Step, To: r.Target, Channels: splitChannels(r.Channels),
			DueAt: timeOf(r.DueAt), State: r.State, Reason: r.Reason, Child: tidings.ID(r.Child)})
	}
	return l, nil
}

// of adds it to a status: a message is not done while a step of its route waits.
func (l laterRows) of(s *tidings.MessageStatus) {
	if family := l.families[s.ID]; family != s.ID {
		s.Parent = family
	}
	s.Escalations = l.steps[s.ID]
	for _, e := range s.Escalations {
		if e.State == tidings.Held && s.Status == "done" {
			s.Status = "processing"
		}
	}
}

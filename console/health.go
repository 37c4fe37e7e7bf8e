package console

import (
	"context"
	"time"

	"tidings"
	"tidings/auth"
)

// healthPage is what health.html shows.
type healthPage struct {
	Checks []Check // of the stores and comet
	// Integrations stand by channel, and Unreachable says of some what their host does.
	Integrations []channelRow
	Unreachable  map[string]string
	Queues       []Queue
	Balance      tidings.Balance
	Wrong        string // why the queues cannot be read
	MayAct       bool
	MayWrite     bool
}

// healthTime bounds how long the page waits for a part that does not answer.
const healthTime = 3 * time.Second

func (v *visit) getHealth() error {
	ctx, cancel := context.WithTimeout(v.r.Context(), healthTime)
	defer cancel()
	p := healthPage{MayAct: v.may(auth.RunInstallation), MayWrite: v.may(auth.WriteIntegrations), Unreachable: map[string]string{}}
	for _, c := range v.Health(ctx) {
		switch {
		case c.Channel == "":
			p.Checks = append(p.Checks, c)
		case c.State == "down":
			p.Unreachable[c.Name] = c.Detail
		}
	}
	var err error
	if p.Integrations, err = v.integrations(); err != nil {
		return err
	}
	queues, err := v.Queues.List()
	if err != nil {
		v.Door.Logger.Warn("the queues cannot be read", "error", err)
		p.Wrong = "redis"
	}
	for _, q := range queues {
		if q.Pending+q.Active+q.Retry+q.Archived+q.Processed > 0 || q.Paused {
			p.Queues = append(p.Queues, q)
		}
	}
	if p.Balance, err = v.Record.Balance(v.r.Context(), balanceSettle); err != nil {
		return err
	}
	return v.show("health", v.t("nav.health"), nil, p)
}

// balanceSettle is how old a message must be to be looked at: what is just under way does not balance yet.
const balanceSettle = time.Minute

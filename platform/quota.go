package platform

import (
	"context"
	"sync"
	"time"

	"tidings"
)

// Limits is where quotas are kept, and what was counted against them.
type Limits interface {
	Quota(ctx context.Context, application string) (tidings.Quota, error)
	// Quotas are those of all applications that have one; they may be a little old.
	Quotas(ctx context.Context) (map[string]tidings.Quota, error)
	PutQuota(ctx context.Context, q tidings.Quota) error
	Allowance(ctx context.Context, q tidings.Quota, at time.Time) (tidings.Allowance, tidings.Budget, error)
	Usage(ctx context.Context, application string, days int, now time.Time) (tidings.Usage, error)
	Note(ctx context.Context, action, object string, detail any) error
}

// PutQuota sets how much an application may send. Running processes act on it within 2 s.
func (p *Platform) PutQuota(ctx context.Context, q tidings.Quota) (tidings.Quota, error) {
	if err := q.Validate().Err(tidings.Invalid); err != nil {
		return tidings.Quota{}, err
	}
	return q, p.store.PutQuota(ctx, q)
}

// Quota returns how much an application may send. All zero: it has no limits.
func (p *Platform) Quota(ctx context.Context, application string) (tidings.Quota, error) {
	return p.store.Quota(ctx, application)
}

// MaxUsageDays is how far back usage is counted.
const MaxUsageDays = 31

// Usage returns what an application sent in the last days and how its quota stands.
func (p *Platform) Usage(ctx context.Context, application string, days int) (tidings.Usage, error) {
	if days < 1 || days > MaxUsageDays {
		return tidings.Usage{}, tidings.FieldErrors{{Field: "days", Code: "out_of_range", Detail: "1 to 31"}}.Err(tidings.Invalid)
	}
	return p.store.Usage(ctx, application, days, p.now())
}

const (
	// allowanceTime is how old a look at what is left may be. It only decides whether a request is worth accepting: the
	// route stage counts exactly.
	allowanceTime = time.Second
	// refusalsEvery is how often the audit log is told that an application sends more than it may.
	refusalsEvery = time.Minute
)

// admissions remembers, for each application with a quota, what it sends.
type admissions struct {
	mu sync.Mutex
	of map[string]*admission
}

type admission struct {
	mu        sync.Mutex
	bucket    tidings.Bucket
	allowance tidings.Allowance
	until     time.Time // for which the allowance is taken
	noted     map[tidings.Reason]time.Time
}

func (a *admissions) get(application string) *admission {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string]*admission{}
	}
	if a.of[application] == nil {
		a.of[application] = &admission{noted: map[tidings.Reason]time.Time{}}
	}
	return a.of[application]
}

// rateLimited is the reason of a request that came too fast: no delivery ever has it.
const rateLimited tidings.Reason = "rate_limited"

// Admit refuses the messages of one request when the application sends faster than its rate, counted in this process, or
// when nothing is left for any channel of any of them. An application without a quota costs a look into a map.
func (p *Platform) Admit(ctx context.Context, application string, ms []tidings.Message) error {
	quotas, err := p.store.Quotas(ctx)
	if err != nil {
		return &tidings.Error{Code: tidings.Unavailable, Detail: "the quotas cannot be read", After: time.Second, Err: err}
	}
	q, ok := quotas[application]
	if !ok {
		return nil
	}
	a := p.admissions.get(application)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := p.now()
	why, after, err := a.judge(ctx, p.store, q, ms, now)
	if err != nil || why == tidings.NoReason {
		return err
	}
	refusal := &tidings.Error{Code: tidings.TooMany, Detail: refusals[why].detail, After: after,
		Fields: tidings.FieldErrors{{Field: refusals[why].field, Code: string(why), Detail: refusals[why].detail}}}
	if now.Sub(a.noted[why]) >= refusalsEvery {
		a.noted[why] = now
		detail := map[string]any{"reason": why, "messages": len(ms)}
		refusal.Err = p.store.Note(ctx, "message.send refused", "application "+application, detail)
	}
	return refusal
}

var refusals = map[tidings.Reason]struct{ field, detail string }{
	rateLimited:        {"application", "it sends more messages a second than its quota allows"},
	tidings.OverQuota:  {"channels", "the day's quota is used up on every channel of the message"},
	tidings.OverBudget: {"channels", "the month's budget is used up on every channel of the message"},
}

func (a *admission) judge(ctx context.Context, store Limits, q tidings.Quota, ms []tidings.Message, now time.Time) (why tidings.Reason, after time.Duration, err error) {
	if q.Counts() {
		if !now.Before(a.until) || a.allowance.Quota.SMSBudget != q.SMSBudget {
			if a.allowance, _, err = store.Allowance(ctx, q, now); err != nil {
				return "", 0, &tidings.Error{Code: tidings.Unavailable, Detail: "the quota cannot be read", After: time.Second, Err: err}
			}
			a.until = now.Add(allowanceTime)
		}
		a.allowance.Quota = q
		if why := exhausted(a.allowance, ms); why != tidings.NoReason {
			return why, q.Renews(why, now).Sub(now), nil
		}
	}
	if q.Rate > 0 {
		if wait, ok := a.bucket.Take(q, len(ms), now); !ok {
			return rateLimited, wait, nil
		}
	}
	return tidings.NoReason, 0, nil
}

// exhausted tells why nothing of the messages can be sent; none: something can.
func exhausted(a tidings.Allowance, ms []tidings.Message) (why tidings.Reason) {
	for _, m := range ms {
		reason, ok := a.Exhausted(m.Channels)
		if !ok {
			return tidings.NoReason
		}
		why = reason
	}
	return why
}

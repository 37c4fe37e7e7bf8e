package jpush

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"tidings"
)

const (
	cidsAtOnce = 10             // what any account gets
	cidLife    = 12 * time.Hour // of the day for which JPush knows a cid; the rest is for resends
)

// pool holds cids that JPush handed out and nobody used yet.
type pool struct {
	account account
	turn    chan struct{} // holds one: a lock that a caller can give up waiting for
	cids    []string
	fetched time.Time
}

func newPool(a account) *pool { return &pool{account: a, turn: make(chan struct{}, 1)} }

func (p *pool) take(ctx context.Context) (string, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return "", noKey(context.Cause(ctx))
	}
	now := p.account.now()
	if len(p.cids) == 0 || now.Sub(p.fetched) >= cidLife {
		cids, err := p.fetch(ctx)
		if err != nil {
			return "", err
		}
		p.cids, p.fetched = cids, now
	}
	cid := p.cids[0]
	p.cids = p.cids[1:]
	return cid, nil
}

func (p *pool) fetch(ctx context.Context) ([]string, error) {
	query := url.Values{"count": {fmt.Sprint(cidsAtOnce)}, "type": {"push"}}
	answer, err := p.account.client.Get(ctx, p.account.url+"/v3/push/cid?"+query.Encode(), p.account.header.Clone())
	if err != nil {
		return nil, noKey(err)
	}
	var r struct {
		List []string `json:"cidlist"`
	}
	if json.Unmarshal(answer.Body, &r) == nil && !answer.Cut && len(r.List) > 0 && r.List[0] != "" {
		return r.List, nil
	}
	_, err = decode(answer)
	if err == nil {
		err = fmt.Errorf("jpush answered %d without cids", answer.Status)
	}
	return nil, noKey(err)
}

// noKey makes of any error one that says that nothing was pushed: it was only a key that was asked for.
func noKey(err error) error {
	e, ok := err.(*tidings.SendError)
	if ok && e.Outcome == tidings.Busy {
		return e
	}
	return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: fmt.Errorf("no cid: %w", err)}
}

package auth

import (
	"sync"
	"time"
)

// used collects which keys were used, to the minute. Its zero value is ready for use.
type used struct {
	mu   sync.RWMutex
	last map[string]time.Time // of this process
	news map[string]time.Time // what nobody has been told yet
}

// note costs a request a look under a shared lock, but once a minute for each key.
func (u *used) note(id string, now time.Time) {
	minute := now.UTC().Truncate(time.Minute)
	u.mu.RLock()
	known := u.last[id].Equal(minute)
	u.mu.RUnlock()
	if known {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil || len(u.last) >= cacheSize {
		u.last = map[string]time.Time{}
	}
	if u.news == nil {
		u.news = map[string]time.Time{}
	}
	u.last[id], u.news[id] = minute, minute
}

// Used returns when keys were used last, as far as it was not told before.
func (a *Authenticator) Used() map[string]time.Time {
	a.used.mu.Lock()
	defer a.used.mu.Unlock()
	news := a.used.news
	a.used.news = nil
	return news
}

package platform

import (
	"context"
	"sync"
	"time"

	"tidings"
)

const (
	// typesTime is how long a process may go on with a message type that was changed elsewhere.
	typesTime = 2 * time.Second
	// typesSize bounds the memory; when it is full everything is looked up anew.
	typesSize = 10_000
)

// types keeps message types in memory. A type that does not exist is not kept, so that one just made can be used at once.
type types struct {
	mu    sync.RWMutex
	known map[[2]string]knownType
}

type knownType struct {
	value tidings.MessageType
	until time.Time
}

type typeReader func(ctx context.Context, application, name string) (tidings.MessageType, error)

func (c *types) get(ctx context.Context, now time.Time, application, name string, read typeReader) (tidings.MessageType, error) {
	key := [2]string{application, name}
	c.mu.RLock()
	k, ok := c.known[key]
	c.mu.RUnlock()
	if ok && now.Before(k.until) {
		return k.value, nil
	}
	t, err := read(ctx, application, name)
	if err != nil {
		return tidings.MessageType{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= typesSize {
		c.known = map[[2]string]knownType{}
	}
	c.known[key] = knownType{value: t, until: now.Add(typesTime)}
	return t, nil
}

func (c *types) forget(application, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, [2]string{application, name})
}

// Package web is the channel to the merchant's page. Its sender has no provider: a numbered and committed entry is sent,
// and what is left is to put it where the page's long connection picks it up.
package web

import (
	"context"
	"fmt"

	"tidings"
)

// Appender puts entries that are committed in SQL before the pages that are connected: comet.Streams does.
type Appender interface {
	Append(ctx context.Context, entries []tidings.UserEntry) error
}

// Channel is the effect of the deliver stage on the web.
type Channel struct {
	streams Appender
}

// New returns the channel over streams.
func New(streams Appender) *Channel { return &Channel{streams: streams} }

// Append adds the entries to their users' streams and rings the pages. It may be repeated as a whole after an error:
// what is there already is not added twice.
func (c *Channel) Append(ctx context.Context, entries []tidings.UserEntry) error {
	if err := c.streams.Append(ctx, entries); err != nil {
		return fmt.Errorf("deliver to the web: %w", err)
	}
	return nil
}

package handlers

import (
	"context"

	"tidings"
)

// Gate keeps the segments of paused broadcasts from going on.
type Gate interface {
	// Aside puts segments of one broadcast aside if it is paused, and tells whether it did.
	Aside(ctx context.Context, ss ...tidings.Segment) (bool, error)
}

// pass returns ErrStale for segments that were put aside: nothing is to be done for them now.
func pass(ctx context.Context, gate Gate, ss ...tidings.Segment) error {
	if ss[0].Broadcast == 0 {
		return nil
	}
	aside, err := gate.Aside(ctx, ss...)
	if err == nil && aside {
		err = tidings.ErrStale
	}
	return err
}

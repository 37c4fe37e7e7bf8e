package api

import (
	"context"
	"time"

	"tidings"
)

// tellMarked tells users' open pages what was marked. It is best effort: they see it in the inbox, too.
func (a *API) tellMarked(ctx context.Context, marks []tidings.UserMarked) {
	if a.Marked == nil || len(marks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := a.Marked(ctx, marks, a.Store.UnreadOf); err != nil {
		a.Door.Logger.Debug("users' pages were not told what was marked", "error", err)
	}
}

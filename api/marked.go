package api

import (
	"context"
	"time"

	"tidings"
)

// tellMarked tells the user's other pages what he marked. It is best effort: they see it in the inbox, too.
func (a *API) tellMarked(ctx context.Context, user string, m tidings.Mark, ids []tidings.ID, upTo tidings.ID) {
	if a.Marked == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	unread, err := a.Store.Unread(ctx, user, nil)
	if err == nil {
		err = a.Marked(ctx, user, tidings.Marked{Mark: m, IDs: ids, UpTo: upTo, Unread: unread})
	}
	if err != nil {
		a.Door.Logger.Debug("a user's pages were not told what he marked", "error", err)
	}
}

// Package handlers holds the four stages of the road, in their order: acquire, render, route, deliver. Each reads its work,
// decides, and commits what it decided together with the segments that follow.
package handlers

import (
	"context"
	"slices"
	"time"

	"tidings"
	"tidings/tasks"
)

// AcquireStore is what the acquire stage reads and commits.
type AcquireStore interface {
	Gate
	AcquireWork(ctx context.Context, ss []tidings.Segment) ([]tidings.Audienced, error)
	ResolveNamed(ctx context.Context, ms []tidings.Message) ([]tidings.Notification, error)
	ResolvePage(ctx context.Context, m tidings.Audienced, limit int) ([]tidings.Notification, int, error)
	Acquired(ctx context.Context, ss []tidings.Segment, p tidings.AcquirePage) ([]tidings.Segment, error)
}

// acquirePage is how many users one run resolves. It is one bounded step: a larger audience goes on in a segment of its own.
const acquirePage = 10 * tidings.SegmentSize

// Acquire asks who: it turns the audience of each message into notifications, as the directory stands now, and freezes them.
func Acquire(store AcquireStore, now func() time.Time) tasks.Stage {
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		if err := pass(ctx, store, ss...); err != nil {
			return nil, err
		}
		ms, err := store.AcquireWork(ctx, ss)
		if err != nil {
			return nil, err
		}
		page, err := acquire(ctx, store, ms, now())
		if err != nil {
			return nil, err
		}
		return store.Acquired(ctx, ss, page)
	})
}

// acquire fills one page. Messages that name users are resolved together; any other has a query of its own.
func acquire(ctx context.Context, store AcquireStore, ms []tidings.Audienced, now time.Time) (page tidings.AcquirePage, err error) {
	room := acquirePage
	if len(ms) == 1 && ms[0].Broadcast != nil && closed(ms[0], now) == tidings.NoReason {
		return acquireBroadcast(ctx, store, ms[0])
	}
	var named []tidings.Message
	for i, m := range ms {
		reason := closed(m, now)
		if reason == tidings.NoReason && (room == 0 || m.Audience.OnlyUsers() && len(m.Audience.Users) > room) {
			page.Rest = ms[i:]
			break
		}
		switch {
		case reason != tidings.NoReason:
			page.Ended = append(page.Ended, tidings.AcquireEnd{Message: m.ID, Size: m.Size, Reason: reason, Paged: m.After != ""})
		case m.Audience.OnlyUsers():
			named = append(named, m.Message)
			room -= len(m.Audience.Users)
		default:
			found, size, err := store.ResolvePage(ctx, m, room)
			if err != nil {
				return page, err
			}
			page.Notifications = append(page.Notifications, found...)
			ms[i].Size += size
			if len(found) == room { // there may be more
				ms[i].After = found[len(found)-1].User
				page.Rest, room = ms[i:], 0
			} else {
				page.Ended = append(page.Ended, ended(m.ID, ms[i].Size, m.After != ""))
				room -= len(found)
			}
		}
		if page.Rest != nil {
			break
		}
	}
	return page, resolveNamed(ctx, store, named, &page)
}

// acquireBroadcast fills a page of a broadcast: of as many users as its rate allows. One that is to be sent later is resolved then, so that its
// rate holds.
func acquireBroadcast(ctx context.Context, store AcquireStore, m tidings.Audienced) (page tidings.AcquirePage, err error) {
	page.Broadcast = m.Broadcast
	n, next, pace := m.Broadcast.Pace.Page(acquirePage)
	if m.SendAt.After(pace.Now) {
		n, next, pace = 0, m.SendAt, m.Broadcast.Pace
	}
	page.Pace = pace
	if n == 0 {
		page.Rest, page.RestAt = []tidings.Audienced{m}, next
		return page, nil
	}
	found, size, err := store.ResolvePage(ctx, m, n)
	if err != nil {
		return page, err
	}
	page.Notifications = found
	paged := m.After != ""
	m.Size += size
	if len(found) == n { // there may be more
		m.After = found[n-1].User
		page.Rest, page.RestAt = []tidings.Audienced{m}, next
		return page, nil
	}
	page.Ended = []tidings.AcquireEnd{ended(m.ID, m.Size, paged)}
	return page, nil
}

func resolveNamed(ctx context.Context, store AcquireStore, named []tidings.Message, page *tidings.AcquirePage) error {
	if len(named) == 0 {
		return nil
	}
	found, err := store.ResolveNamed(ctx, named)
	if err != nil {
		return err
	}
	sizes := make(map[tidings.ID]int, len(named))
	for _, n := range found {
		sizes[n.Message]++
	}
	page.Notifications = append(slices.Grow(page.Notifications, len(found)), found...)
	page.Ended = slices.Grow(page.Ended, len(named))
	for _, m := range named {
		page.Ended = append(page.Ended, ended(m.ID, sizes[m.ID], false))
	}
	return nil
}

// closed tells why a message needs no recipients any more.
func closed(m tidings.Audienced, now time.Time) tidings.Reason {
	switch {
	case m.Canceled:
		return tidings.CanceledByApp
	case !now.Before(m.ExpiresAt):
		return tidings.TimeRanOut
	}
	return tidings.NoReason
}

func ended(m tidings.ID, size int, paged bool) tidings.AcquireEnd {
	e := tidings.AcquireEnd{Message: m, Size: size, Paged: paged}
	if size == 0 {
		e.Reason = tidings.NoRecipients
	}
	return e
}

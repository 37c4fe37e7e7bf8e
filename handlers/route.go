package handlers

import (
	"context"

	"tidings"
	"tidings/tasks"
)

// RouteStore is what the route stage reads and commits.
type RouteStore interface {
	RouteWork(ctx context.Context, ss []tidings.Segment) (tidings.RouteWork, error)
	Routed(ctx context.Context, ss []tidings.Segment, ds []tidings.Delivery) ([]tidings.Segment, error)
}

// Route asks which way: it turns each notification into deliveries, one for each channel. The decisions are tidings.Plan,
// which the preview calls too.
func Route(store RouteStore) tasks.Stage {
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		w, err := store.RouteWork(ctx, ss)
		if err != nil {
			return nil, err
		}
		return store.Routed(ctx, ss, route(w))
	})
}

func route(w tidings.RouteWork) []tidings.Delivery {
	ds := make([]tidings.Delivery, 0, len(w.Items))
	for _, item := range w.Items {
		m := w.Messages[item.Message]
		plan := tidings.Plan(tidings.Planning{Now: w.Now, Channels: m.Channels, SendAt: m.SendAt, ExpiresAt: m.ExpiresAt,
			Canceled: m.Canceled, Contents: contentsFor(item.Locale, w.Contents[m.ID]), Addresses: w.Addresses[item.User]})
		for _, d := range plan {
			d.Message, d.User = item.Message, item.User
			ds = append(ds, d)
		}
	}
	return ds
}

// contentsFor picks, for a user's locale, the content of each channel. rs is in order of channel and locale.
func contentsFor(locale string, rs []tidings.Rendered) map[tidings.Channel]tidings.PlannedContent {
	chosen := make(map[tidings.Channel]tidings.PlannedContent, 3)
	for len(rs) > 0 {
		n := 1
		for n < len(rs) && rs[n].Channel == rs[0].Channel {
			n++
		}
		chosen[rs[0].Channel] = choose(locale, rs[:n])
		rs = rs[n:]
	}
	return chosen
}

// choose prefers a content that exists to the note ("" locale) that none was published when an earlier segment was rendered.
func choose(locale string, rs []tidings.Rendered) tidings.PlannedContent {
	if len(rs) > 1 && rs[0].Locale == "" {
		rs = rs[1:]
	}
	if len(rs) > 1 {
		offered := make([]string, len(rs))
		for i, r := range rs {
			offered[i] = r.Locale
		}
		want := tidings.ChooseLocale(locale, offered)
		for _, r := range rs {
			if r.Locale == want {
				rs = []tidings.Rendered{r}
				break
			}
		}
	}
	return tidings.PlannedContent{Locale: rs[0].Locale, Reason: rs[0].Reason}
}

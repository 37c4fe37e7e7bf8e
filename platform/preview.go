package platform

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/templates"
)

// Previews is what a preview reads.
type Previews interface {
	// Recipients are the first users whom a message would reach, in order of their ids, and how many there are in all.
	Recipients(ctx context.Context, m tidings.Message, limit int) (found []tidings.Notification, size int, err error)
	// AddressChannels tells on which channels users have an address.
	AddressChannels(ctx context.Context, users []string) (map[string]map[tidings.Channel]bool, error)
	// StoreHours reads when stores are open.
	StoreHours(ctx context.Context, ids []string) (map[string]tidings.Store, error)
	// Preferences are those of users that may say something about types of the application.
	Preferences(ctx context.Context, application string, types, users []string) (map[string]*tidings.Preferences, error)
	// Remembered is what deliveries would look back on.
	Remembered(ctx context.Context, ds []tidings.Delivery, now time.Time) (*tidings.Past, error)
}

// Preview tells what would become of a message if it were sent now: who would get what, on which channel, why or why not, and
// what it costs. It asks the rules that the stages ask, and writes nothing.
func (p *Platform) Preview(ctx context.Context, m tidings.Message) (tidings.Preview, error) {
	m.AcceptedAt = p.now()
	work, err := p.previewing(ctx, m)
	if err != nil {
		return tidings.Preview{}, err
	}
	return work.plan(), nil
}

// newest is the id of a message that is not sent: it would be newer than all.
const newest = tidings.ID(math.MaxInt64)

// previewing is what a preview is made of.
type previewing struct {
	m         tidings.Message
	typ       tidings.MessageType
	users     []tidings.Notification
	size      int
	contents  []tidings.Rendered // in order of channel and locale
	addresses map[string]map[tidings.Channel]bool
	wishes    map[string]*tidings.Preferences
	stores    map[string]tidings.Store
	allowance tidings.Allowance
	taken     int                           // SMS parts of the month, before the message
	planned   map[string][]tidings.Delivery // by user
	steps     []tidings.Escalation          // to others
}

func (p *Platform) previewing(ctx context.Context, m tidings.Message) (w previewing, err error) {
	w.m = m
	if w.typ, err = p.store.Type(ctx, m.Application, m.Type); err != nil {
		return w, err
	}
	w.typ.Application, w.typ.Name = m.Application, m.Type
	if w.users, w.size, err = p.store.Recipients(ctx, m, tidings.PreviewUsers); err != nil {
		return w, err
	}
	ts, err := p.store.PublishedTemplates(ctx, m.Application, m.Type)
	if err != nil {
		return w, err
	}
	w.render(templates.NewPublished(ts, nil))
	users := make([]string, len(w.users))
	for i, n := range w.users {
		users[i] = n.User
	}
	if w.addresses, err = p.store.AddressChannels(ctx, users); err != nil {
		return w, err
	}
	if w.typ.HeedsStores() {
		var stores []string
		for _, n := range w.users {
			stores = append(stores, tidings.StoresOf(n.Via)...)
		}
		if w.stores, err = p.store.StoreHours(ctx, stores); err != nil {
			return w, err
		}
	}
	if w.wishes, err = p.store.Preferences(ctx, m.Application, []string{m.Type}, users); err != nil {
		return w, err
	}
	q, err := p.store.Quota(ctx, m.Application)
	if err == nil {
		w.allowance, _, err = p.store.Allowance(ctx, q, m.AcceptedAt)
	}
	if err != nil {
		return w, err
	}
	return w, w.decide(ctx, p.store, q.Caps)
}

// decide asks the rules of all deliveries.
func (w *previewing) decide(ctx context.Context, store Previews, caps []tidings.Cap) error {
	w.taken = w.allowance.Parts
	key := w.m.CollapseKey
	if d := w.typ.Dedup; d != nil && d.Key != "" {
		same, err := templates.Parse(tidings.Template{Body: d.Key})
		if err != nil {
			return err
		}
		key = templates.DedupKey(same, w.m.Data)
	}
	var all []tidings.Delivery
	for _, n := range w.users {
		var stores []tidings.Store
		for _, id := range tidings.StoresOf(n.Via) {
			if s, ok := w.stores[id]; ok {
				stores = append(stores, s)
			}
		}
		planning := tidings.Planning{Stores: stores, Now: w.m.AcceptedAt, Channels: w.m.Channels, SendAt: w.m.SendAt, ExpiresAt: w.m.ExpiresAt, Quiet: w.typ.Quiet,
			Type: &w.typ, Preferences: w.wishes[n.User], Caps: caps, CollapseKey: w.m.CollapseKey, DedupKey: key,
			Contents: tidings.ChooseContents(n.User, n.Locale, n.Via, w.contents), Addresses: w.addresses[n.User]}
		ds := tidings.Plan(planning)
		w.steps = append(w.steps, tidings.Escalations(planning)...)
		for i := range ds {
			ds[i].Message, ds[i].User = newest, n.User
		}
		all = append(all, ds...)
	}
	w.steps = tidings.MergeEscalations(w.steps)
	past, err := store.Remembered(ctx, all, w.m.AcceptedAt)
	if err != nil {
		return err
	}
	past.Decide(all, &w.allowance)
	w.planned = make(map[string][]tidings.Delivery, len(w.users))
	for _, d := range all {
		w.planned[d.User] = append(w.planned[d.User], d)
	}
	return nil
}

// render makes each content that one of the users may get; of a message that would reach nobody, that of the default locale.
func (w *previewing) render(published *templates.Published) {
	locales := map[string]bool{}
	for _, n := range w.users {
		locales[n.Locale] = true
	}
	if len(locales) == 0 {
		locales[tidings.DefaultLocale] = true
	}
	var values templates.Values
	for _, c := range w.m.Channels {
		made := map[string]bool{}
		for locale := range maps.Keys(locales) {
			if name := published.Locale(c, locale); !made[name] {
				made[name] = true
				w.contents = published.Append(w.contents, w.m, c, name, &values)
			}
		}
	}
	slices.SortFunc(w.contents, func(a, b tidings.Rendered) int {
		return cmp.Or(strings.Compare(string(a.Channel), string(b.Channel)), strings.Compare(a.Locale, b.Locale))
	})
}

// contentKey tells the contents of one message apart.
type contentKey struct {
	channel tidings.Channel
	locale  string
}

func (w *previewing) plan() tidings.Preview {
	v := tidings.Preview{Users: w.size, Planned: len(w.users), Recipients: []tidings.PreviewRecipient{}, Counts: map[tidings.Channel]map[tidings.State]int{}, Escalations: w.steps}
	if budget := w.allowance.Quota.SMSBudget; budget > 0 {
		left := max(0, budget-w.taken)
		v.Cost.Left = &left
	}
	versions, places := map[contentKey]int{}, map[contentKey]int{}
	for i, r := range w.contents {
		v.Contents = append(v.Contents, r.Preview())
		k := contentKey{r.Channel, r.Locale}
		versions[k], places[k] = r.Version, i
	}
	for i, n := range w.users {
		shown := tidings.PreviewRecipient{User: n.User, Locale: n.Locale, Via: n.Via}
		for _, d := range w.planned[n.User] {
			k := contentKey{d.Channel, d.Locale}
			if v.Counts[d.Channel] == nil {
				v.Counts[d.Channel] = map[tidings.State]int{}
			}
			v.Counts[d.Channel][d.State]++
			if d.Pending() {
				v.Contents[places[k]].Users++
				v.Cost.Parts += d.Parts
			}
			shown.Deliveries = append(shown.Deliveries, tidings.PreviewDelivery{Channel: d.Channel, State: d.State, Reason: d.Reason,
				DueAt: d.DueAt, Locale: d.Locale, Version: versions[k], Parts: d.Parts, Decisions: tidings.Decisions(d.Channel, d.Decided)})
		}
		if i < tidings.PreviewRecipients {
			v.Recipients = append(v.Recipients, shown)
		}
	}
	if v.Planned > 0 && v.Planned < v.Users {
		v.Cost.Parts, v.Cost.Estimated = v.Cost.Parts*v.Users/v.Planned, true
	}
	return v
}

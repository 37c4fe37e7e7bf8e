package sql

import (
	"context"
	"math"
	"slices"
	"strings"

	"tidings"
)

type itemRow struct {
	Message     int64 `db:"message_id"`
	Application string
	Type        string
	AcceptedAt  int64 `db:"accepted_at"`
	Via         string
	SeenAt      int64 `db:"seen_at"`
	ReadAt      int64 `db:"read_at"`
	ArchivedAt  int64 `db:"archived_at"`
	Size        int
}

func (r itemRow) item() tidings.InboxItem {
	return tidings.InboxItem{
		Entry:  tidings.Entry{ID: tidings.ID(r.Message), Application: r.Application, Type: r.Type, Via: splitVia(r.Via), At: timeOf(r.AcceptedAt)},
		SeenAt: timeOf(r.SeenAt), ReadAt: timeOf(r.ReadAt), ArchivedAt: timeOf(r.ArchivedAt),
	}
}

// Inbox reads a page of what the user may see, the newest first. more tells whether there is more beyond the page, in the
// direction of the query. The content is that of the web, else of the app, else of the SMS.
func (db *DB) Inbox(ctx context.Context, user string, q tidings.InboxQuery) (items []tidings.InboxItem, more bool, err error) {
	p := pageOf(q.PageQuery)
	var rows []itemRow
	err = db.Select(ctx, &rows, p.query("inbox"), user, p.from, q.Dimension, bit(q.Unread), bit(q.Archived), listed(q.Types), p.limit+1)
	if err != nil {
		return nil, false, err
	}
	rows, more = cut(p, rows)
	items = make([]tidings.InboxItem, len(rows))
	for i, r := range rows {
		items[i] = r.item()
	}
	return items, more, db.fill(ctx, user, items)
}

// fill adds number and content.
func (db *DB) fill(ctx context.Context, user string, items []tidings.InboxItem) error {
	if len(items) == 0 {
		return nil
	}
	var rows []struct {
		Message          int64 `db:"message_id"`
		Channel          tidings.Channel
		Number           int64
		Reason           tidings.Reason
		Title, Body, URL string
		Made             bool
	}
	ids := ints(items, func(i tidings.InboxItem) int64 { return int64(i.ID) })
	if err := db.Select(ctx, &rows, "inbox-contents", columns(ids), user); err != nil {
		return err
	}
	at := make(map[int64]*tidings.InboxItem, len(items))
	for i, id := range ids {
		at[id] = &items[i]
	}
	best := map[int64]int{}
	for _, r := range rows {
		item := at[r.Message]
		item.Number = max(item.Number, r.Number)
		if r.Channel == tidings.Web && slices.Contains(tidings.Spares, r.Reason) {
			item.Reason = r.Reason
		}
		rank := len(tidings.Channels) - slices.Index(tidings.Channels, r.Channel)
		if r.Made && rank > best[r.Message] {
			best[r.Message] = rank
			c := tidings.Content{Title: r.Title, Body: r.Body, URL: r.URL}.Unmarked("")
			item.Title, item.Body, item.URL = c.Title, c.Body, c.URL
		}
	}
	return nil
}

// Unread counts what the user may see and has neither read nor archived, of the given types only if any are given.
func (db *DB) Unread(ctx context.Context, user string, types []string) (n int, err error) {
	return n, db.Get(ctx, &n, "unread", user, listed(types))
}

// UnreadOf is Unread of several users, of all types; one with nothing unread is missing.
func (db *DB) UnreadOf(ctx context.Context, users []string) (map[string]int, error) {
	unread := make(map[string]int, len(users))
	for chunk := range slices.Chunk(users, 500) {
		var rows []struct {
			User   string `db:"user_id"`
			Unread int
		}
		if err := db.Select(ctx, &rows, "unread-of", columns(chunk)); err != nil {
			return nil, err
		}
		for _, r := range rows {
			unread[r.User] = r.Unread
		}
	}
	return unread, nil
}

// Mark notes a fact about notifications that the user may see, of the given types only if any are given: those named, or, if none is, all up to
// the message upTo. It returns how many it changed: what was marked before stays as it is.
func (db *DB) Mark(ctx context.Context, user string, m tidings.Mark, ids []tidings.ID, upTo tidings.ID, types ...string) (int, error) {
	if len(ids) > 0 {
		rows, err := db.mark(ctx, m, "mark", idColumn(ids), user, string(m), listed(types))
		return len(rows), err
	}
	rows, err := db.mark(ctx, m, "mark-up-to", user, string(m), int64(upTo), listed(types))
	return len(rows), err
}

// DimensionHistory reads a page of the messages that reached a merchant ("m:acme": through the merchant itself or one of its
// stores) or a store ("s:acme-1"), the newest first.
func (db *DB) DimensionHistory(ctx context.Context, dimension string, q tidings.PageQuery) (items []tidings.HistoryItem, more bool, err error) {
	p := pageOf(q)
	var rows []itemRow
	err = db.Select(ctx, &rows, p.query("history"), dimension, merchantOf(dimension), p.from, p.limit+1)
	if err != nil {
		return nil, false, err
	}
	rows, more = cut(p, rows)
	items = make([]tidings.HistoryItem, len(rows))
	reached := 0
	for i, r := range rows {
		reached += r.Size
		items[i] = tidings.HistoryItem{ID: tidings.ID(r.Message), Application: r.Application, Type: r.Type, At: timeOf(r.AcceptedAt)}
	}
	return items, more, db.fillHistory(ctx, dimension, items, reached)
}

// fillHistory adds content and readers. reached is how many notifications the messages have in all.
func (db *DB) fillHistory(ctx context.Context, dimension string, items []tidings.HistoryItem, reached int) error {
	if len(items) == 0 {
		return nil
	}
	ids := ints(items, func(i tidings.HistoryItem) int64 { return int64(i.ID) })
	at := make(map[int64]*tidings.HistoryItem, len(items))
	for i, id := range ids {
		at[id] = &items[i]
	}
	readers, err := db.readers(ctx, dimension, ids, reached)
	if err != nil {
		return err
	}
	for _, r := range readers {
		at[r.Message].Users++
		if r.ReadAt > 0 {
			at[r.Message].Read++
		}
	}
	var contents []contentRow
	if err := db.Select(ctx, &contents, "history-contents", columns(ids)); err != nil {
		return err
	}
	best := map[int64]int{}
	for _, c := range contents {
		if rank := c.rank(); rank > best[c.Message] {
			best[c.Message] = rank
			item, c := at[c.Message], tidings.Content{Title: c.Title, Body: c.Body, URL: c.URL}.Unmarked("")
			item.Title, item.Body, item.URL = c.Title, c.Body, c.URL
		}
	}
	return nil
}

// readerRow is a member of a dimension whom a message reached.
type readerRow struct {
	Message int64  `db:"message_id"`
	User    string `db:"user_id"`
	ReadAt  int64  `db:"read_at"`
}

func (db *DB) readers(ctx context.Context, dimension string, messages []int64, reached int) (rows []readerRow, err error) {
	var members int
	if err := db.Get(ctx, &members, "count-members", dimension, merchantOf(dimension)); err != nil {
		return nil, err
	}
	query := "history-users-by-member"
	if reached < members*len(messages) {
		query = "history-users-by-message"
	}
	return rows, db.Select(ctx, &rows, query, columns(messages), dimension, merchantOf(dimension))
}

type contentRow struct {
	Message          int64 `db:"message_id"`
	Channel          tidings.Channel
	Locale           string
	Title, Body, URL string
}

// rank orders the contents of a message for one who has no locale of his own: in the order of tidings.Channels, and in each DefaultLocale first.
func (c contentRow) rank() int {
	rank := 2 * (len(tidings.Channels) - slices.Index(tidings.Channels, c.Channel))
	if c.Locale == tidings.DefaultLocale {
		rank++
	}
	return rank
}

// MarkDimension notes a fact about notifications for all members of a merchant or store whom they reached through it. It
// returns those that it changed, by user.
func (db *DB) MarkDimension(ctx context.Context, dimension string, m tidings.Mark, ids []tidings.ID) (map[string][]tidings.ID, error) {
	marked := map[string][]tidings.ID{}
	if len(ids) == 0 {
		return marked, nil
	}
	rows, err := db.mark(ctx, m, "mark-dimension", idColumn(ids), dimension, merchantOf(dimension), string(m))
	for _, r := range rows {
		marked[r.User] = append(marked[r.User], tidings.ID(r.Message))
	}
	return marked, err
}

// merchantOf is the merchant's id of a merchant dimension, "" of a store's.
func merchantOf(dimension string) string {
	id, ok := strings.CutPrefix(dimension, tidings.ViaMerchant)
	if !ok {
		return ""
	}
	return id
}

// page is a PageQuery made ready: it reads limit rows from behind from, downwards unless up.
type page struct {
	up    bool
	from  int64
	limit int
}

const defaultLimit = 50

func pageOf(q tidings.PageQuery) page {
	p := page{from: math.MaxInt64, limit: q.Limit}
	if q.Before > 0 {
		p.from = int64(q.Before)
	}
	if q.After > 0 {
		p.up, p.from = true, int64(q.After)
	}
	if p.limit <= 0 {
		p.limit = defaultLimit
	}
	return p
}

// query is the name of the query that reads the page's direction.
func (p page) query(list string) string {
	if p.up {
		return list + "-newer"
	}
	return list + "-older"
}

// cut drops the row beyond the page, which tells that there is more, and puts the newest first.
func cut[T any](p page, rows []T) ([]T, bool) {
	more := len(rows) > p.limit
	if more {
		rows = rows[:p.limit]
	}
	if p.up {
		slices.Reverse(rows)
	}
	return rows, more
}

// listed writes names, which hold no comma, so that instr finds ",name," in it; "" for none.
func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "," + strings.Join(names, ",") + ","
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func idColumn(ids []tidings.ID) bulk {
	return columns(ints(ids, func(id tidings.ID) int64 { return int64(id) }))
}

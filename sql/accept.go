package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"tidings"
)

const (
	// groupMessages bounds one group commit. Above a few hundred rows a commit gains nothing and its latency only grows.
	groupMessages = 1000
	// waitingMessages bounds what waits for a commit: beyond it a request is refused before any work.
	waitingMessages = 20000
	commitTimeout   = 20 * time.Second
	// commitPace is how long a commit begins after the one before it at the least, unless it is full. A commit costs the same for
	// one message and for ten: without it a quick disk makes a commit of each, and at 1,000 messages/s the machine is busy with
	// nothing else (p50 to the page 20 ms instead of 12).
	commitPace = 2 * time.Millisecond
)

// committer gathers concurrent requests into group commits. What arrives while every slot is in a commit, or within
// commitPace of the last one, waits and forms the next batch, so a lone request goes out at once and a crowd shares an
// fsync. A slot is never held while Redis or a stage is waited for.
type committer struct {
	db       *DB
	now      func() time.Time
	onAccept func([]tidings.Segment)
	metrics  *Metrics

	mu       sync.Mutex
	queue    []*waiting
	queued   int // messages in queue
	free     int // slots
	inflight map[[2]string]bool
	closed   bool
	begun    time.Time // the last commit; ahead of now: one that waits for its time
	running  sync.WaitGroup
}

// waiting is a request on its way to a commit.
type waiting struct {
	request  tidings.Request
	messages []tidings.Message
	answer   tidings.Answer
	err      error
	done     chan struct{}
}

func newCommitter(db *DB, o Options) *committer {
	slots := o.Slots
	if slots == 0 {
		slots = 2
	}
	if !db.dialect.postgres {
		slots = 1
	}
	return &committer{db: db, now: o.Now, onAccept: o.OnAccept, metrics: o.Metrics, free: slots, inflight: map[[2]string]bool{}}
}

// OnAccept sets who is told of segments right after the commit that wrote them. It is set before the first Accept.
func (db *DB) OnAccept(f func([]tidings.Segment)) { db.accept.onAccept = f }

// Accept makes a request durable: it returns when its messages, its idempotency key and its batch are committed. An error
// that is not a *tidings.Error means that nobody knows; the caller must be told to try again with the same key.
func (db *DB) Accept(ctx context.Context, r tidings.Request) (tidings.Answer, error) {
	w := &waiting{request: r, done: make(chan struct{})}
	if err := db.accept.put(w); err != nil {
		return tidings.Answer{}, err
	}
	select {
	case <-w.done:
		return w.answer, w.err
	case <-ctx.Done():
		return tidings.Answer{}, ctx.Err()
	}
}

func (c *committer) put(w *waiting) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.queued+len(w.request.Messages) > waitingMessages {
		return &tidings.Error{Code: tidings.Unavailable, Detail: "too many requests are waiting to be stored", After: time.Second}
	}
	if w.request.Key != "" {
		if c.inflight[w.key()] {
			return &tidings.Error{Code: tidings.Conflict, Detail: "a request with this Idempotency-Key is being worked on", After: time.Second}
		}
		c.inflight[w.key()] = true
	}
	c.queue = append(c.queue, w)
	c.queued += len(w.request.Messages)
	if c.free > 0 {
		c.free--
		c.running.Add(1)
		go c.run()
	}
	return nil
}

func (w *waiting) key() [2]string { return [2]string{w.request.Application, w.request.Key} }

// run holds a slot and commits batch after batch until nothing waits.
func (c *committer) run() {
	defer c.running.Done()
	for {
		wait, more := c.next()
		if !more {
			return
		}
		time.Sleep(wait)
		if batch := c.take(); len(batch) > 0 {
			c.commit(batch)
		}
	}
}

// next tells how long to wait before the next commit, or gives the slot back when nothing waits for one.
func (c *committer) next() (wait time.Duration, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.queue = nil
		c.free++
		return 0, false
	}
	now := time.Now()
	c.begun = begins(c.begun, now, c.queued >= groupMessages)
	return c.begun.Sub(now), true
}

// begins is when a commit may begin, after one that began at last.
func begins(last, now time.Time, full bool) time.Time {
	if due := last.Add(commitPace); due.After(now) && !full {
		return due
	}
	return now
}

// take removes the next batch from the queue: none, if another slot took all that waited.
func (c *committer) take() []*waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, messages := 0, 0
	for n < len(c.queue) && (n == 0 || messages+len(c.queue[n].request.Messages) <= groupMessages) {
		messages += len(c.queue[n].request.Messages)
		n++
	}
	batch := c.queue[:n:n]
	c.queue = c.queue[n:]
	c.queued -= messages
	return batch
}

func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
}

// answered tells the requests what became of them.
func (c *committer) answered(batch []*waiting) {
	c.mu.Lock()
	for _, w := range batch {
		if w.request.Key != "" {
			delete(c.inflight, w.key())
		}
	}
	c.mu.Unlock()
	for _, w := range batch {
		close(w.done)
	}
}

// commit stores a batch and answers its requests. A batch that the database refuses is tried again in halves until the
// culprit stands alone, so that one request's fault is never another's.
func (c *committer) commit(batch []*waiting) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	started := c.now()
	id := c.db.ids.Next()
	segments, err := c.store(ctx, id, batch)
	if err != nil && !refused(err) {
		segments, err = c.settle(ctx, id, segments, err)
	}
	if duplicate(err) { // another process drew the same ID: it is not drawn twice
		id = c.db.ids.Next()
		segments, err = c.store(ctx, id, batch)
	}
	if err != nil && refused(err) && len(batch) > 1 {
		if c.metrics != nil {
			c.metrics.split.Inc()
		}
		c.commit(batch[:len(batch)/2])
		c.commit(batch[len(batch)/2:])
		return
	}
	if err != nil {
		for _, w := range batch {
			w.err = unstored(err)
		}
		c.db.log.Error("accept", "requests", len(batch), "error", err)
	} else if c.metrics != nil {
		c.metrics.observe(batch, c.now().Sub(started))
	}
	c.answered(batch)
	if err == nil && c.onAccept != nil && len(segments) > 0 {
		// Not in this goroutine: the slot must not wait for Redis.
		c.running.Go(func() { c.onAccept(segments) })
	}
}

// unstored is what the caller of a request that could not be stored is told: that it never can be, or to try again.
func unstored(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code[:2] == "22" { // data exception: a value no column takes
		return &tidings.Error{Code: tidings.Unprocessable, Detail: "the message holds a value that cannot be stored", Err: err}
	}
	return &tidings.Error{Code: tidings.Unavailable, Detail: "the message could not be stored; send it again with the same Idempotency-Key", After: time.Second, Err: err}
}

func (m *Metrics) observe(batch []*waiting, took time.Duration) {
	n := 0
	for _, w := range batch {
		n += len(w.messages)
		if w.answer.Replayed {
			m.replayed.Inc()
		}
	}
	m.batches.Observe(float64(n))
	m.commits.Observe(took.Seconds())
}

// settle finds out what became of a COMMIT whose answer was lost, before anyone is answered.
func (c *committer) settle(ctx context.Context, batch tidings.ID, segments []tidings.Segment, cause error) ([]tidings.Segment, error) {
	if segments == nil {
		return nil, cause // lost before COMMIT: nothing can be there
	}
	for range 3 {
		there, err := c.committed(ctx, batch)
		switch {
		case err == nil && there:
			return segments, nil
		case err == nil:
			return nil, cause
		}
		select {
		case <-ctx.Done():
			return nil, cause
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil, cause
}

// errAbsent takes back the row by which committed asks.
var errAbsent = errors.New("the batch is not there")

// committed tells whether the batch is there, or can never come. The lost COMMIT may still be under way, so looking is not
// enough: a second row of that id waits for its end, and is then refused or, taken back, proves that it failed.
func (c *committer) committed(ctx context.Context, batch tidings.ID) (bool, error) {
	err := c.db.tx(ctx, func(t *tx) error {
		if _, err := t.Exec(ctx, "insert-batch", int64(batch), 0, 0); err != nil {
			return err
		}
		return errAbsent
	})
	switch {
	case duplicate(err):
		return true, nil
	case errors.Is(err, errAbsent):
		return false, nil
	}
	return false, err
}

// refused tells whether the database itself said no: nothing of the transaction is there.
func refused(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code[:2] != "57" && e.Code[:2] != "08" // 57: shutting down; 08: connection
	}
	if _, ok := errors.AsType[*sqlite.Error](err); ok {
		return true
	}
	_, ok := errors.AsType[*json.MarshalerError](err)
	return ok
}

// store runs the transaction of a group commit. The segments are returned with an error too when COMMIT was under way.
func (c *committer) store(ctx context.Context, id tidings.ID, batch []*waiting) (segments []tidings.Segment, err error) {
	// Equal order in every process: two batches with the same keys would otherwise wait for each other.
	sort.SliceStable(batch, func(i, j int) bool {
		a, b := batch[i].key(), batch[j].key()
		return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
	})
	c.stamp(id, batch)
	if !slices.ContainsFunc(batch, func(w *waiting) bool { return w.request.Key != "" }) {
		rows, statements, err := c.insert(id, batch)
		if err != nil {
			return nil, err
		}
		return segmentsOf(rows), c.db.burst(ctx, c.db.write, statements...)
	}
	err = c.db.tx(ctx, func(t *tx) error {
		segments = nil
		fresh, err := t.claimKeys(ctx, batch)
		if err != nil {
			return err
		}
		rows, statements, err := c.insert(id, fresh)
		if err != nil {
			return err
		}
		for _, s := range statements {
			if err := t.run(ctx, s); err != nil {
				return err
			}
		}
		segments = segmentsOf(rows)
		return nil
	})
	return segments, err
}

// insert makes the statements that store the messages of requests, and the acquire segments among them.
func (c *committer) insert(id tidings.ID, requests []*waiting) ([]segmentRow, []statement, error) {
	var messages []tidings.Message
	for _, w := range requests {
		messages = append(messages, w.messages...)
	}
	if len(messages) == 0 {
		return nil, nil, nil
	}
	rows := c.db.acquireSegments(id, messages)
	statements, err := accepting(id, messages, rows)
	return rows, statements, err
}

// stamp gives each message its place, and each request its answer.
func (c *committer) stamp(batch tidings.ID, requests []*waiting) {
	now := c.now().UTC()
	for _, w := range requests {
		w.messages = append(w.messages[:0], w.request.Messages...)
		for i := range w.messages {
			w.messages[i].ID, w.messages[i].Batch, w.messages[i].AcceptedAt = c.db.ids.Next(), batch, now
		}
		w.answer = tidings.Answer{Body: w.request.Respond(w.messages)}
	}
}

type storedAnswer struct {
	Application, Key, Hash, Response string
}

// claimKeys stores the idempotency keys of a batch and returns the requests that are new. The others get their stored
// answer, or a refusal if the key was used for another body.
func (t *tx) claimKeys(ctx context.Context, batch []*waiting) (fresh []*waiting, err error) {
	var keyed []*waiting
	for _, w := range batch {
		w.err = nil
		if w.request.Key == "" {
			fresh = append(fresh, w)
		} else {
			keyed = append(keyed, w)
		}
	}
	if len(keyed) == 0 {
		return fresh, nil
	}
	applications := strs(keyed, func(w *waiting) string { return w.request.Application })
	keys := strs(keyed, func(w *waiting) string { return w.request.Key })
	var claimed []storedAnswer
	err = t.Select(ctx, &claimed, "claim-keys", columns(applications, keys,
		strs(keyed, func(w *waiting) string { return w.request.Hash }),
		strs(keyed, func(w *waiting) string { return string(w.answer.Body) })))
	if err != nil {
		return nil, err
	}
	isNew := map[[2]string]bool{}
	for _, k := range claimed {
		isNew[[2]string{k.Application, k.Key}] = true
	}
	stored := map[[2]string]storedAnswer{}
	if len(claimed) < len(keyed) {
		var answers []storedAnswer
		if err := t.Select(ctx, &answers, "stored-answers", columns(applications, keys)); err != nil {
			return nil, err
		}
		for _, a := range answers {
			stored[[2]string{a.Application, a.Key}] = a
		}
	}
	for _, w := range keyed {
		if isNew[w.key()] {
			fresh = append(fresh, w)
		} else {
			w.replay(stored[w.key()])
		}
	}
	return fresh, nil
}

func (w *waiting) replay(a storedAnswer) {
	w.messages = w.messages[:0]
	w.answer, w.err = a.to(w.request.Hash)
}

// to is the answer to a request of that hash, or the refusal of another request under the same key.
func (a storedAnswer) to(hash string) (tidings.Answer, error) {
	if a.Hash != hash {
		return tidings.Answer{}, tidings.FieldErrors{{Field: "Idempotency-Key", Code: "reused", Detail: "the key was used for another request"}}.Err(tidings.Unprocessable)
	}
	return tidings.Answer{Body: []byte(a.Response), Replayed: true}, nil
}

// Answered finds the stored answer of a request that was accepted under key; ok is false if there is none. A key that was
// used for a request of another hash is refused.
func (db *DB) Answered(ctx context.Context, application, key, hash string) (answer tidings.Answer, ok bool, err error) {
	var stored []storedAnswer
	if err := db.Select(ctx, &stored, "stored-answers", columns([]string{application}, []string{key})); err != nil || len(stored) == 0 {
		return answer, false, err
	}
	answer, err = stored[0].to(hash)
	return answer, err == nil, err
}

func insertMessages(ms []tidings.Message) (statement, error) {
	audiences, channels := make([]string, len(ms)), make([]string, len(ms))
	for i, m := range ms {
		text, err := json.Marshal(m.Audience)
		if err != nil {
			return statement{}, err
		}
		audiences[i], channels[i] = string(text), joinChannels(m.Channels)
	}
	return do("insert-messages", columns(
		ints(ms, func(m tidings.Message) int64 { return int64(m.ID) }),
		ints(ms, func(m tidings.Message) int64 { return int64(m.Batch) }),
		strs(ms, func(m tidings.Message) string { return m.Application }),
		strs(ms, func(m tidings.Message) string { return m.Type }),
		strs(ms, func(m tidings.Message) string { return string(m.Lane) }),
		audiences,
		strs(ms, func(m tidings.Message) string { return dataText(m.Data) }),
		channels,
		ints(ms, func(m tidings.Message) int64 { return micros(m.SendAt) }),
		ints(ms, func(m tidings.Message) int64 { return micros(m.ExpiresAt) }),
		strs(ms, func(m tidings.Message) string { return m.CollapseKey }),
		strs(ms, func(m tidings.Message) string { return m.CancellationKey }),
		ints(ms, func(m tidings.Message) int64 { return micros(m.AcceptedAt) }))), nil
}

func dataText(data json.RawMessage) string {
	if len(data) == 0 {
		return "{}"
	}
	return string(data)
}

func joinChannels(cs []tidings.Channel) string {
	return strings.Join(strs(cs, func(c tidings.Channel) string { return string(c) }), ",")
}

func splitChannels(s string) (cs []tidings.Channel) {
	for _, c := range strings.Split(s, ",") {
		if c != "" {
			cs = append(cs, tidings.Channel(c))
		}
	}
	return cs
}

// ForgetKeys deletes idempotency keys older than age and returns how many there were.
func (db *DB) ForgetKeys(ctx context.Context, age time.Duration) (int64, error) {
	return db.Exec(ctx, "forget-keys", age.Microseconds())
}

// mustJSON encodes values of this package that always can be.
func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sql: %T: %v", v, err))
	}
	return string(text)
}

package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Subscription hears the messages of one user over Comet's HTTP stream. URL and Token must be set; the rest has defaults. One
// Run at a time.
type Subscription struct {
	URL string // of the comet node
	// Token returns the user's token. It is asked when there is none, when one was refused and when the server says that it ended.
	Token func(context.Context) (string, error)
	// Cursor is where to begin, and after Run where it ended: keep it to go on after a restart. Default: the end of the list.
	Cursor string
	// Name names this subscriber: a second one of the same name takes the connection over. Default: random.
	Name string
	HTTP *http.Client // default: http.DefaultClient; it must have no Timeout, which would end every stream

	// Failed hears of every failure after which the connection is tried again; may be nil.
	Failed func(error)
	// AckEvery is how long acknowledgements are gathered; default 1 s.
	AckEvery time.Duration
	// Backoff is the least wait after a failure, doubled each time up to 30 s and drawn at random; default 500 ms.
	Backoff time.Duration

	token string
	acks  *acks
}

// Event is one thing that a user's list says: exactly one of Message, Gone, Reset and Marked is set.
type Event struct {
	Message *Notification
	// Gone is the number of a message that the user may no longer see.
	Gone int64
	// Reset tells that the list is another one, or that the cursor is too far behind: read the inbox anew. What follows is new.
	Reset bool
	// Marked is what the user marked in a browser or on a device. It is not kept for who is not connected just then.
	Marked *Marked
	// Cursor is where the subscription stands once this is handled.
	Cursor string
}

// Notification is a line of the user's inbox.
type Notification struct {
	Number      int64     `json:"number"`
	ID          string    `json:"id"`
	Application string    `json:"application"`
	Type        string    `json:"type"`
	Title       string    `json:"title"`
	Body        string    `json:"body"`
	URL         string    `json:"url"`
	Via         []string  `json:"via"`
	At          time.Time `json:"at"`
	Replaces    bool      `json:"replaces"` // an older message may be gone from the inbox
}

// Marked is what a user marked: these messages, or all up to one; neither where the token shows only some types.
type Marked struct {
	Mark   string   `json:"mark"` // "seen", "read" or "archive"
	IDs    []string `json:"ids"`
	UpTo   string   `json:"up_to"`
	Unread *int     `json:"unread"` // how many are unread now; nil: not said
}

// Closed is why the server ended a connection: 3000 to 3499 come back by themselves, 3500 to 3999 end Run.
type Closed struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	RetryMS int64  `json:"retry_ms"`
}

func (c *Closed) Error() string {
	return fmt.Sprintf("tidings: the server ended the subscription: %s (%d)", c.Reason, c.Code)
}

// How long a connection may say nothing before the server has said how long it may.
const greeting = 30 * time.Second

var errSilent = errors.New("tidings: the server was silent for too long")

// frame is a line of the stream.
type frame struct {
	Cursor      string            `json:"cursor"`
	Messages    []json.RawMessage `json:"messages"`
	Reset       bool              `json:"reset"`
	HeartbeatMS int64             `json:"heartbeat_ms"`
	Marked      *Marked           `json:"marked"`
	Close       *Closed           `json:"close"`
}

// Run hands every event to handle, in order and each once, until ctx is done, handle fails, or the server refuses for good. A
// message is acknowledged after handle has returned nil: one whose handle failed comes again from the Cursor that Run leaves.
// The error is never nil: ctx's, handle's, a *Problem or a *Closed.
func (s *Subscription) Run(ctx context.Context, handle func(context.Context, Event) error) error {
	s.Name = or(s.Name, "go-"+rand.Text())
	s.acks = &acks{sub: s, every: or(s.AckEvery, time.Second)}
	defer s.acks.flush()
	wait := backoff{least: or(s.Backoff, 500*time.Millisecond), most: 30 * time.Second}
	refused := 0 // tokens in a row
	for {
		began := time.Now()
		err := s.connect(ctx, &wait, &refused, handle)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > 3*time.Second {
			wait.reset()
		}
		advice, final := s.judge(err, refused)
		if final != nil {
			return final
		}
		if s.Failed != nil {
			s.Failed(err)
		}
		if advice == 0 {
			advice = wait.next()
		}
		if err := sleep(ctx, advice); err != nil {
			return err
		}
	}
}

// judge tells what follows from the end of a connection: how long to stay away (0: as long as failures say), or that it is the end.
func (s *Subscription) judge(err error, refused int) (advice time.Duration, final error) {
	if f, ok := errors.AsType[*handleError](err); ok {
		return 0, f.err
	}
	if c, ok := errors.AsType[*Closed](err); ok {
		if c.Code >= 3500 {
			return 0, c
		}
		if c.Code == 3001 {
			s.token = ""
		}
		return time.Duration(c.RetryMS) * time.Millisecond, nil
	}
	p, ok := errors.AsType[*Problem](err)
	switch {
	case !ok || p.passing():
		if ok && p.RetryAfter > 0 {
			return p.RetryAfter + time.Duration(float64(time.Second)*jitter()), nil
		}
		return 0, nil
	case p.Status == http.StatusUnauthorized:
		s.token = ""
		if refused < 2 {
			return time.Millisecond, nil // it had ended
		}
	}
	return 0, p
}

// handleError is the caller's own failure.
type handleError struct{ err error }

func (e *handleError) Error() string { return e.err.Error() }

// connect follows one connection to its end.
func (s *Subscription) connect(ctx context.Context, wait *backoff, refused *int, handle func(context.Context, Event) error) error {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(greeting, func() { cancel(errSilent) })
	defer silence.Stop()
	answer, err := s.ask(bounded, refused)
	if err != nil {
		return cause(bounded, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it ended, or we leave
	limit := greeting
	for lines := bufio.NewReaderSize(answer.Body, 4<<10); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return cause(bounded, err)
		}
		silence.Stop() // not while the caller is at work
		if len(bytes.TrimSpace(line)) > 0 {
			var f frame
			if err := json.Unmarshal(line, &f); err != nil {
				return fmt.Errorf("tidings: the stream is not understood: %w", err)
			}
			if f.HeartbeatMS > 0 {
				limit = 2 * time.Duration(f.HeartbeatMS) * time.Millisecond
			}
			if len(f.Messages) > 0 {
				wait.reset()
			}
			if err := s.take(ctx, f, handle); err != nil {
				return err
			}
			if f.Close != nil {
				return f.Close
			}
		}
		silence.Reset(limit)
	}
}

// cause says why a connection ended that we ended ourselves.
func cause(ctx context.Context, err error) error {
	if because := context.Cause(ctx); because != nil {
		return because
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if errors.Is(err, io.EOF) {
		return errors.New("tidings: the connection ended")
	}
	return fmt.Errorf("tidings: %w", err)
}

func (s *Subscription) ask(ctx context.Context, refused *int) (*http.Response, error) {
	if s.token == "" {
		token, err := s.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("get a token: %w", err)
		}
		s.token = token
	}
	query := url.Values{"client": {s.Name}}
	if s.Cursor != "" {
		query.Set("cursor", s.Cursor)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.URL, "/")+"/comet/stream?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := or(s.HTTP, http.DefaultClient).Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		*refused = 0
		return answer, nil
	}
	defer answer.Body.Close() //nolint:errcheck // read
	if answer.StatusCode == http.StatusUnauthorized {
		*refused++
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what could be read of it
	return nil, problemOf(answer, text)
}

// take hands over what a frame brings and moves the cursor behind each.
func (s *Subscription) take(ctx context.Context, f frame, handle func(context.Context, Event) error) error {
	give := func(e Event) error {
		if err := handle(ctx, e); err != nil {
			return &handleError{err}
		}
		s.Cursor = e.Cursor
		return nil
	}
	if f.Reset {
		if err := give(Event{Reset: true, Cursor: f.Cursor}); err != nil {
			return err
		}
	}
	epoch, upTo := parse(f.Cursor)
	for _, raw := range f.Messages {
		var n struct {
			Notification
			Gone bool `json:"gone"`
		}
		if err := json.Unmarshal(raw, &n); err != nil {
			return fmt.Errorf("tidings: a message is not understood: %w", err)
		}
		if had, number := parse(s.Cursor); had == epoch && n.Number <= number {
			continue // a repetition
		}
		e := Event{Message: &n.Notification, Cursor: epoch + "." + strconv.FormatInt(n.Number, 10)}
		if n.Gone {
			e.Message, e.Gone = nil, n.Number
		}
		if err := give(e); err != nil {
			return err
		}
		s.acks.note(s.Cursor, s.token)
	}
	if had, number := parse(s.Cursor); f.Cursor != "" && (had != epoch || number < upTo) {
		s.Cursor = f.Cursor
	}
	if f.Marked != nil {
		return give(Event{Marked: f.Marked, Cursor: s.Cursor})
	}
	return nil
}

// parse takes a cursor apart: <epoch>.<number>.
func parse(cursor string) (epoch string, number int64) {
	epoch, digits, _ := strings.Cut(cursor, ".")
	number, _ = strconv.ParseInt(digits, 10, 64) // the server made it
	return epoch, number
}

// Package comet carries the inbox to the page: it keeps the tail of each user's numbered list in Redis and holds the long
// connections on which new entries arrive.
//
// The list in SQL is the truth. Streams caches its tail in Redis and rings the nodes that hold the user. A Node holds
// connections, sends each of them every number in order and once, and fills what it did not hear from the cache or from
// SQL. All of Redis may vanish at any moment: a new generation begins, and nothing of the old one is believed.
//
// A connection waits parked: no goroutine and no buffer belongs to it, one epoll loop notices hang-ups and a few writers
// serve all of them. Where that is impossible (HTTP/2, TLS ended in this process, other systems than Linux) the handler's
// goroutine serves it.
package comet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// History is the numbered list in SQL.
type History interface {
	// Epoch is a random word that changes with a restore: numbers of different epochs have nothing to do with each other.
	Epoch(ctx context.Context) (string, error)
	// Generation counts how often what Redis held was lost.
	Generation(ctx context.Context) (int64, error)
	// NextGeneration raises the generation unless it is not old any more, and returns the current one.
	NextGeneration(ctx context.Context, old int64) (int64, error)
	// Heads is the last number of each user; a user without an inbox is missing.
	Heads(ctx context.Context, users []string) (map[string]int64, error)
	// Tails reads spans of lists in one statement.
	Tails(ctx context.Context, spans []tidings.Span) (map[tidings.Span]tidings.Tail, error)
	// Acknowledge notes what clients have received: the higher number stands.
	Acknowledge(ctx context.Context, acks []tidings.Ack) error
	// ChangedUsers lists users whose memberships changed since a time in microseconds, and the time until which it looked.
	ChangedUsers(ctx context.Context, since int64) (users []string, until int64, err error)
}

// Verifier tells whose token it is.
type Verifier interface {
	Verify(token string) (auth.Claims, error)
}

// Options sets up a Node. What is not required has a default.
type Options struct {
	Streams  *Streams // required
	History  History  // required
	Tokens   Verifier // required
	Logger   *slog.Logger
	Registry prometheus.Registerer
	// AllowOrigin tells whether pages of a foreign origin may use tokens of the application. nil: none may.
	AllowOrigin func(ctx context.Context, origin, application string) bool
	// ID names the node, a valid name; default: random. Two nodes of one ID are told apart by their start.
	ID string
	// MaxConnections is how many connections the node holds; one more is answered 503. Default: 95 % of the descriptors
	// that the process may have: the rest of it needs a hundred or two.
	MaxConnections int
	// PerIP is how many connections the clients at one address (an IPv6 /64) hold here; one more is answered 429. 0: no limit.
	PerIP int
	// IPRate is how many new connections a second the clients at one address open here, over ten seconds, and ten times as many
	// polls; more are answered 429. 0: no limit.
	IPRate int
	// ClientIP is the address of the client, which a proxy may stand for. nil: the address of the connection.
	ClientIP func(*http.Request) netip.Addr
	// PerUser is how many connections a user has on all nodes; one more closes the oldest. Default 10.
	PerUser int
	// Buffer is how many bytes wait for a client that reads slower than we write, before it is cut. Default 256 KiB.
	Buffer int
	// Behind is how many numbers a client is brought up to date with; one farther behind reloads its inbox. Default 10,000.
	Behind int64
	// Heartbeat is the longest silence on a stream; actual intervals are 78 to 100 % of it. Default 25 s: proxies cut
	// silent connections after 60 s, some mobile networks after 30 s.
	Heartbeat time.Duration
	// Stall is how long a client may take none of what waits for it, before it is cut. Default 10 s.
	Stall time.Duration
	// Tick is the grain of all timers. Default 100 ms.
	Tick time.Duration
	// Changes is how often memberships that changed are looked for. Default 2 s: access must be off within 5 s.
	Changes time.Duration
	// Now is the clock of deadlines, for tests.
	Now func() time.Time
	// late is lateAppends, but for tests.
	late time.Duration
}

func (o Options) withDefaults() (Options, error) {
	if o.Streams == nil || o.History == nil || o.Tokens == nil {
		return o, errors.New("comet: Streams, History and Tokens are required")
	}
	if o.ID == "" {
		o.ID = randomWord(10)
	}
	if !tidings.ValidName(o.ID) {
		return o, fmt.Errorf("comet: the node id %q is not 1 to 64 letters, digits and ._:@-", o.ID)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.AllowOrigin == nil {
		o.AllowOrigin = func(context.Context, string, string) bool { return false }
	}
	if o.ClientIP == nil {
		o.ClientIP = middleware.NewDoor(middleware.Config{}).ClientIP
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	orDefault(&o.MaxConnections, descriptors()*95/100)
	orDefault(&o.PerUser, 10)
	orDefault(&o.Buffer, 256<<10)
	orDefault(&o.Behind, 10_000)
	orDefault(&o.Heartbeat, 25*time.Second)
	orDefault(&o.Stall, 10*time.Second)
	orDefault(&o.Tick, 100*time.Millisecond)
	orDefault(&o.Changes, 2*time.Second)
	orDefault(&o.late, lateAppends)
	return o, nil
}

func orDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

package comet

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
)

func sentinelRig(t testing.TB) (*rig, *redistest.Sentinels) {
	s := redistest.Sentinel(t)
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.Name, SentinelAddrs: s.Addresses})
	t.Cleanup(func() { _ = c.Close() })
	return rigOver(t, c), s
}

// append appends until Redis takes it, as the deliver stage does.
func (g *rig) append(s *Streams, entries ...tidings.UserEntry) {
	g.t.Helper()
	err := proctest.Until(30*time.Second, func() error {
		ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Second)
		defer cancel()
		return s.Append(ctx, entries)
	})
	if err != nil {
		g.t.Error(err)
	}
}

// crowd is users who are connected, with what they are sent.
type crowd struct {
	rig   *rig
	node  *site
	pages map[string]*page
	sent  int
}

func (g *rig) crowd(s *site, users ...string) *crowd {
	c := &crowd{rig: g, node: s, pages: map[string]*page{}}
	for i, user := range users {
		c.pages[user] = s.open("/comet/"+[]string{"stream", "events"}[i%2]+"?client=c1", g.token(user))
		c.pages[user].frame()
	}
	return c
}

// send sends everyone n messages, each batch until Redis takes it.
func (c *crowd) send(n int) {
	for range n {
		var batch []tidings.UserEntry
		for user := range c.pages {
			batch = append(batch, c.rig.list.commit(user, "x"))
		}
		c.rig.append(c.node.Streams, batch...)
	}
	c.sent += n
}

// all checks that everyone has got all that was sent since, in order and once, and that nothing else came.
func (c *crowd) all() {
	c.rig.t.Helper()
	for user, p := range c.pages {
		got := p.numbers(c.sent)
		consecutive(c.rig.t, got, got[0])
		if len(got) != c.sent {
			c.rig.t.Errorf("%s got %d of %d", user, len(got), c.sent)
		}
	}
	c.sent = 0
}

func TestASentinelsFailoverThatLosesWritesLosesAndDoublesNothingAtAPage(t *testing.T) {
	g, layout := sentinelRig(t)
	c := g.crowd(g.node(nil), "ann", "bob", "cid")
	c.send(5)
	c.all()
	layout.Replica.Pause(t) // what is written from here on is lost
	c.send(5)
	layout.Master.Kill(t)
	layout.Replica.Continue(t)
	c.send(5)
	layout.Promoted(t)
	c.send(5)
	c.all()
}

func TestAClusterMovesSlotsAndLosesAMasterAndAPageMissesNothing(t *testing.T) {
	layout := redistest.Cluster(t, 1)
	g := rigOver(t, layout.Client)
	s := g.node(nil)
	users := []string{}
	for i := range 9 { // some on each master
		users = append(users, userOf(i))
	}
	c := g.crowd(s, users...)
	c.send(5)
	c.all()
	if l, p := g.listeners(s.Streams, users[0]), g.presence(s.Streams); len(l) != 1 || len(p.Nodes) != 1 {
		t.Errorf("present are %+v on %+v", l, p)
	}
	// The slot of a user's keys and the one of the node's bells move while messages come.
	for _, key := range []string{"stream:{" + users[0] + "}", bellChannel(s.name)} {
		from := layout.Owner(t, key)
		to := layout.Masters[1]
		if from == to {
			to = layout.Masters[2]
		}
		slot, err := layout.Client.ClusterKeySlot(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		c.send(1)
		layout.Move(t, int(slot), from, to)
		c.send(3)
		c.all()
	}
	// The word that closes a connection whose client has come to another node, whatever slots user and node have.
	other := g.node(nil)
	for i := range 6 {
		other.open("/comet/stream?client=c1", g.token(users[i])).frame()
		if h := c.pages[users[i]].frame(); h.Close == nil || h.Close.Code != Replaced {
			t.Fatalf("%+v", h)
		}
		delete(c.pages, users[i])
	}
	layout.Masters[0].Kill(t)
	c.send(2)
	layout.Promoted(t, layout.Replicas[0])
	c.send(2)
	c.all()
}

func TestABellsConnectionThatIsKilledIsNoticedAndWhatItMissedIsRead(t *testing.T) {
	g := newRig(t)
	c := g.crowd(g.node(nil), "ann", "bob", "cid")
	for range 5 {
		if err := g.redis.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		c.send(1)
		began := time.Now()
		c.all()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	}
	if g.list.tails > 0 {
		t.Errorf("SQL was asked %d times for what the streams have", g.list.tails)
	}
}

// deaf is a connection that hears nothing more once it is told so, if it is a subscription: as one that a middle box forgot.
type deaf struct {
	net.Conn
	told       *atomic.Bool
	subscribed atomic.Bool
}

func (d *deaf) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "subscribe") {
		d.subscribed.Store(!d.told.Load())
	}
	return d.Conn.Write(b)
}

func (d *deaf) Read(b []byte) (int, error) {
	for {
		n, err := d.Conn.Read(b)
		if err != nil || !d.told.Load() || !d.subscribed.Load() {
			return n, err
		}
	}
}

func TestABellsConnectionThatIsSilentlyLostIsNoticedWithinThreeSeconds(t *testing.T) {
	server := redistest.Start(t)
	var told atomic.Bool
	o := *server.Client.Options()
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &deaf{Conn: conn, told: &told}, err
	}
	client := redis.NewClient(&o)
	t.Cleanup(func() { _ = client.Close() })
	g := rigOver(t, client)
	first, stop := g.streams() // it finds an empty Redis and begins a generation, so that the node need not
	if err := first.watch.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	c := g.crowd(g.node(nil), "ann")
	told.Store(true)
	c.send(1)
	began := time.Now()
	c.all()
	if took := time.Since(began); took > 5*time.Second { // 2.6 s on a machine of its own
		t.Errorf("it took %s", took)
	}
}

// held puts users in the node's table as if they were connected and had their leases, without connections to write to.
func (s *site) held(n int) (users []string) {
	for i := range n {
		c := &conn{node: s.Node, client: "c", transport: events, ending: true, next: 1, fence: 1}
		s.shards.join(c, userOf(i))
		users = append(users, userOf(i))
	}
	return users
}

func TestAFlushWithTwentyThousandConnectedCostsAFewStatements(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.Changes = time.Hour })
	users := s.held(20_000)
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	if err := s.recheckAll(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	g.list.queried()
	began := time.Now()
	if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	one := g.list.commit("ann", "its bell is lost")
	last := users[len(users)-1]
	g.list.commit(last, "so is this one's")
	consecutive(t, p.numbers(1), one.Entry.Number)
	g.until("everyone's lease and head are there again", func() bool {
		n, err := g.redis.DBSize(t.Context()).Result()
		return err == nil && n >= int64(2*len(users))
	})
	heads, tails := g.list.queried()
	t.Logf("%s, %d statements for heads, %d for entries", time.Since(began).Round(time.Millisecond), heads, tails)
	if heads > len(users)/recheckUsers+2 || tails > 2 {
		t.Errorf("%d statements for heads, %d for entries", heads, tails)
	}
}

func TestWhatIsAppendedToAMasterThatWasReplacedIsFoundLater(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.late = 2 * time.Second })
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	g.send(s.Streams, "ann", "one")
	consecutive(t, p.numbers(1), 1)
	if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	g.until("her lease and head are there again", func() bool {
		n, err := g.redis.Exists(t.Context(), leaseKey("ann"), headKey("ann")).Result()
		return err == nil && n == 2
	})
	g.list.commit("ann", "its append and its bell went to the old master")
	consecutive(t, p.numbers(1), 2)
}

func TestManyWhoMissedTheirBellsCostFewStatements(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.Changes = time.Hour })
	g.list.takes = 5 * time.Millisecond
	pages := make([]*page, 400)
	for i := range pages {
		pages[i] = s.open("/comet/stream?client=c1", g.token(userOf(i)))
		pages[i].frame()
	}
	if err := s.recheckAll(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	g.list.queried()
	for i := range pages { // committed, and lost with Redis
		g.list.commit(userOf(i), "x")
		g.list.commit(userOf(i), "y")
	}
	if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		consecutive(t, p.numbers(2), 1)
	}
	heads, tails := g.list.queried()
	t.Logf("%d statements for heads, %d for entries", heads, tails)
	if heads > 3 || tails > len(pages)/10 {
		t.Errorf("%d statements for heads, %d for entries", heads, tails)
	}
}

// queried counts the statements since it was asked last.
func (l *list) queried() (heads, tails int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	heads, tails = l.heads, l.tails
	l.heads, l.tails = 0, 0
	return heads, tails
}

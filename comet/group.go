package comet

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
)

// shardCount spreads the users over locks.
const shardCount = 256

// shard holds some of the users that are connected here. Its lock guards all groups in it, so that each connection gets
// every number once and in order, whether it comes by bell, from the stream or from SQL. Nothing waits under it.
type shard struct {
	mu     sync.Mutex
	groups map[string]*group
	// changed are users whose memberships changed lately, and until when (Unix ms) bells and streams are not believed about
	// them: what was appended before may be visible no more.
	changed map[string]int64
}

// group is the connections of one user. A million of them are held: its fields fit one of the sizes that Go allocates, 80 bytes.
type group struct {
	user    string
	shard   *shard
	conns   []*conn
	epoch   *string // of the list that its numbers are of
	head    int64   // the highest number heard of
	page    int32   // how many numbers the last read brought; 0: none was made
	filling bool    // a filler has it or will have it
}

type shards struct {
	seed maphash.Seed
	all  [shardCount]shard
}

func newShards() *shards {
	s := &shards{seed: maphash.MakeSeed()}
	for i := range s.all {
		s.all[i].groups = make(map[string]*group)
		s.all[i].changed = make(map[string]int64)
	}
	return s
}

func (s *shards) of(user string) *shard {
	return &s.all[maphash.String(s.seed, user)%shardCount]
}

// users lists who is connected here.
func (s *shards) users() []string { return s.usersWhose(func(*group) bool { return true }) }

func (s *shards) usersWhose(is func(*group) bool) []string {
	var users []string
	for i := range s.all {
		sh := &s.all[i]
		sh.mu.Lock()
		for user, g := range sh.groups {
			if is(g) {
				users = append(users, user)
			}
		}
		sh.mu.Unlock()
	}
	return users
}

// conns lists the connections of the users, or of all with nil.
func (s *shards) conns(users []string) []*conn {
	var conns []*conn
	if users == nil {
		users = s.users()
	}
	for _, user := range users {
		sh := s.of(user)
		sh.mu.Lock()
		if g := sh.groups[user]; g != nil {
			conns = append(conns, g.conns...)
		}
		sh.mu.Unlock()
	}
	return conns
}

// join makes c one of its user's connections. It gets nothing until it is started; what is heard of meanwhile is kept in
// the group's head.
func (s *shards) join(c *conn, user string) {
	sh := s.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[user]
	if g == nil {
		g = &group{user: user, shard: sh, epoch: c.node.epoch.Load()}
		sh.groups[user] = g
	}
	g.conns = append(g.conns, c)
	c.group = g
}

// detach takes c from its group and tells whether it was there. Under the shard's lock.
func (g *group) detach(c *conn) bool {
	i := slices.Index(g.conns, c)
	if i < 0 {
		return false
	}
	g.conns = slices.Delete(g.conns, i, i+1)
	if len(g.conns) == 0 {
		delete(g.shard.groups, g.user)
	}
	return true
}

// lags is the lowest number that a connection of the group waits for and could take, or 0. Under the shard's lock.
func (g *group) lags() int64 {
	from := int64(0)
	for _, c := range g.conns {
		if c.next > 0 && c.next <= g.head && (from == 0 || c.next < from) && !c.full() {
			from = c.next
		}
	}
	return from
}

// deliver gives items, which have no hole, to each connection that waits for one of them and is not a slow reader: that one
// is brought up to date when it has taken what waits for it. Under the shard's lock.
func (g *group) deliver(items []item) {
	if len(items) == 0 {
		return
	}
	var shared [transports + 1][]byte
	first, last := items[0].number, items[len(items)-1].number
	for _, c := range slices.Clone(g.conns) { // a poll that is answered leaves the group
		if c.next < first || c.next > last || c.next == 0 || c.full() {
			continue
		}
		fresh := items[c.next-first:]
		whole := c.next == first && len(c.types) == 0
		c.next = last + 1
		fresh = visible(fresh, c.types)
		if len(fresh) == 0 {
			continue
		}
		encoding := c.encoding()
		if whole && shared[encoding] != nil {
			c.send(shared[encoding], len(fresh))
			continue
		}
		encoded := frame{cursor: c.cursor(), items: fresh}.encode(encoding)
		if whole {
			shared[encoding] = encoded
		}
		c.send(encoded, len(fresh))
	}
}

// renumber has everybody reload: the list became another one, and its last number is head. Under the shard's lock.
func (g *group) renumber(epoch *string, head int64) {
	g.epoch, g.head = epoch, head
	g.reset(math.MaxInt64, head)
}

// reset tells the connections that wait for a number below one that it cannot be had. Under the shard's lock.
func (g *group) reset(below, head int64) {
	for _, c := range slices.Clone(g.conns) {
		if c.next == 0 || c.next >= below {
			continue
		}
		c.next = head + 1
		c.node.metrics.resets.Inc()
		c.send(frame{cursor: c.cursor(), reset: true}.encode(c.transport), 0)
	}
}

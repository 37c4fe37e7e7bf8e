package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tidings/comet"
	"tidings/middleware"
)

// drainWindow is the time over which a stopping comet asks its clients to come back, so that those who take them over are
// not stormed.
const drainWindow = 5 * time.Second

const cometLong = `Hold the pages' connections and hand them their messages.

A process holds no more connections than it may have descriptors. With --processes N a parent keeps N of them on one port, starts one
that died again, and at SIGHUP replaces them one by one by what the program's file is then: no connection is refused meanwhile.
Their admin doors are at consecutive ports from --admin-listen on.`

func newComet(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "comet", Short: "Hold the pages' connections and hand them their messages", Long: cometLong, Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := newProcess(c, d)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(p.cfg.Processes)
			if err != nil || n < 0 || n > 1000 {
				return &usageError{c.CommandPath(), errors.New("--processes is a number from 0 to 1000")}
			}
			if err := p.cfg.limit(&comet.Options{}); err != nil { // before children fail at it, one after the other
				return err
			}
			if i, err := inherit(); err != nil {
				return err
			} else if i != nil {
				return p.run(c.Context(), func(ctx context.Context) error { return p.startComet(ctx, i) })
			}
			if n > 0 {
				return p.runProcesses(c.Context(), c, n)
			}
			return p.run(c.Context(), func(ctx context.Context) error { return p.startComet(ctx, nil) })
		},
	}
	c = withSettings(c, forStores, forDoors, forLogs, forComet)
	c.Flags().String("node", "", "name of this node in leases and bells [TIDINGS_NODE]")
	return c
}

// cometGarbage is how much a comet process may allocate, in percent of what lives, before it collects. It lives on what it
// holds, so that a lower figure than other processes' costs it little and saves half its memory. GOGC overrides.
const cometGarbage = 50

// startComet starts a comet process; doors are those of a child, nil if the process opens its own.
func (p *process) startComet(ctx context.Context, doors *inherited) error {
	if err := p.sharedStores(ctx, "comet"); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(cometGarbage)
	}
	var public net.Listener
	var err error
	if doors != nil {
		public = doors.public
		p.serveAdminOn(doors.admin)
	} else {
		if err := p.serveAdmin("127.0.0.1:9081"); err != nil {
			return err
		}
		if public, err = p.listen(or(p.cfg.Listen, ":8081")); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	p.healthRoutes(mux)
	node, err := p.cometRoutes(mux)
	if err != nil {
		return err
	}
	if doors == nil {
		p.serveComet(mux, node, drainWindow, public)
		p.log.Info("comet open", "address", public.Addr().String())
		return nil
	}
	s := p.serveShared(mux, node, doors)
	p.attach(ctx, doors, node.Ready, func() { go p.answer(s, doors.public) })
	return nil
}

// cometRoutes starts a node and puts its routes on mux.
func (p *process) cometRoutes(mux *http.ServeMux) (*comet.Node, error) {
	heartbeat, err := time.ParseDuration(p.cfg.Heartbeat)
	if err != nil || heartbeat < time.Second || heartbeat > 10*time.Minute {
		return nil, errors.New("TIDINGS_HEARTBEAT is a duration from 1s to 10m")
	}
	o := comet.Options{
		Streams: p.streams, History: p.db, Tokens: p.tokens, Logger: p.log, Registry: p.registry, ID: p.cfg.Node,
		AllowOrigin: p.auth.OriginAllowed, Heartbeat: heartbeat,
	}
	if err := p.cfg.limit(&o); err != nil {
		return nil, err
	}
	door := p.newDoor("comet", 0) // it holds requests open; the node has limits of its own
	o.ClientIP = door.ClientIP
	node, err := comet.NewNode(o)
	if err != nil {
		return nil, err
	}
	p.ready["comet"] = func(context.Context) error { return node.Ready() }
	p.background("comet", node.Run)
	node.Routes(mux, func(h middleware.Handler) http.Handler { return door.Wrap(door.Serve(h)) })
	return node, nil
}

// limit reads the limits of a comet node.
func (c *config) limit(o *comet.Options) error {
	for _, l := range []struct {
		name, text string
		least      int
		to         *int
	}{
		{"MAX_CONNECTIONS", c.MaxConnections, 0, &o.MaxConnections}, {"USER_CONNECTIONS", c.UserConnections, 1, &o.PerUser},
		{"IP_CONNECTIONS", c.IPConnections, 0, &o.PerIP}, {"IP_RATE", c.IPRate, 0, &o.IPRate},
	} {
		n, err := strconv.Atoi(l.text)
		if err != nil || n < l.least || n > 1e7 {
			return fmt.Errorf("TIDINGS_%s is a number from %d to 10000000", l.name, l.least)
		}
		*l.to = n
	}
	return nil
}

// serveComet serves mux and, when the process stops, first asks the node's clients to come back elsewhere.
func (p *process) serveComet(mux http.Handler, node *comet.Node, window time.Duration, l net.Listener) {
	p.serve("comet door", mux, l, node.Returned())
	p.onStop("connections", func(ctx context.Context) error { node.Drain(ctx, window); return nil })
}

// serveShared returns a server of mux for a door that others accept on as well: it is opened once the node is ready, and
// when the process stops it is first of all left to the others, so that nobody is refused by one that takes no more. What it
// has accepted it still serves.
func (p *process) serveShared(mux http.Handler, node *comet.Node, doors *inherited) *http.Server {
	s := newServer(mux)
	var u underWay
	s.ConnState = u.note
	p.serveWith("comet door", s, node.Returned())
	p.onStop("connections", func(ctx context.Context) error { node.Drain(ctx, drainWindow); return nil })
	p.onStop("shared door", func(ctx context.Context) error {
		err := errors.Join(doors.public.Close(), doors.admin.Close())
		s.SetKeepAlivesEnabled(false)
		u.end(ctx)
		return err
	})
	return s
}

// underWay are connections whose request is not yet read, or neither answered nor parked.
type underWay struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (u *underWay) note(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state != http.StateNew && state != http.StateActive {
		delete(u.conns, c)
		return
	}
	if u.conns == nil {
		u.conns = make(map[net.Conn]struct{})
	}
	u.conns[c] = struct{}{}
}

// lastRequests is how long connections that were accepted last may take to say what they want.
const lastRequests = 2 * time.Second

// end waits until none is left, for lastRequests at most.
func (u *underWay) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastRequests)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select { // first once: what was just accepted is not noted yet
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		u.mu.Lock()
		left := len(u.conns)
		u.mu.Unlock()
		if left == 0 {
			return
		}
	}
}

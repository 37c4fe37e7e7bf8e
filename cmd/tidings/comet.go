package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"tidings/comet"
	"tidings/middleware"
)

// drainWindow is the time over which a stopping comet asks its clients to come back, so that those who take them over are
// not stormed.
const drainWindow = 5 * time.Second

func newComet(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "comet", Short: "Hold the pages' connections and hand them their messages", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := newProcess(c, d)
			if err != nil {
				return err
			}
			return p.run(c.Context(), p.startComet)
		},
	}
	c = withSettings(c, forStores, forDoors, forLogs)
	c.Flags().String("node", "", "name of this node in leases and bells [TIDINGS_NODE]")
	return c
}

func (p *process) startComet(ctx context.Context) error {
	if err := p.sharedStores(ctx, "comet"); err != nil {
		return err
	}
	if err := p.serveAdmin("127.0.0.1:9081"); err != nil {
		return err
	}
	l, err := p.listen(or(p.cfg.Listen, ":8081"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	p.healthRoutes(mux)
	node, err := p.cometRoutes(mux)
	if err != nil {
		return err
	}
	p.serveComet(mux, node, drainWindow, l)
	p.log.Info("comet open", "address", l.Addr().String())
	return nil
}

// cometRoutes starts a node and puts its routes on mux.
func (p *process) cometRoutes(mux *http.ServeMux) (*comet.Node, error) {
	node, err := comet.NewNode(comet.Options{
		Streams: p.streams, History: p.db, Tokens: p.tokens, Logger: p.log, Registry: p.registry, ID: p.cfg.Node,
		AllowOrigin: p.auth.OriginAllowed,
	})
	if err != nil {
		return nil, err
	}
	p.ready["comet"] = func(context.Context) error { return node.Ready() }
	p.background("comet", node.Run)
	door := p.newDoor("comet", 0) // it holds requests open; the node has a limit of its own
	node.Routes(mux, func(h middleware.Handler) http.Handler { return door.Wrap(door.Serve(h)) })
	return node, nil
}

// serveComet serves mux and, when the process stops, first asks the node's clients to come back elsewhere.
func (p *process) serveComet(mux http.Handler, node *comet.Node, window time.Duration, l net.Listener) {
	p.serve("comet door", mux, l, node.Returned())
	p.onStop("connections", func(ctx context.Context) error { node.Drain(ctx, window); return nil })
}

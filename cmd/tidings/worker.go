package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"tidings"
	"tidings/auth"
	"tidings/channels/web"
	"tidings/handlers"
	"tidings/tasks"
)

func newWorker(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "worker", Short: "Carry messages through the four stages", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := newProcess(c, d)
			if err != nil {
				return err
			}
			return p.run(c.Context(), func(ctx context.Context) error {
				if err := p.sharedStores(ctx, "worker"); err != nil {
					return err
				}
				if err := p.serveAdmin("127.0.0.1:9082"); err != nil {
					return err
				}
				return p.startWorkers(p.cfg.PublicURL)
			})
		},
	}
	return withSettings(c, forStores, forDoors, forWorkers, forLogs)
}

// startWorkers serves the queues of the lanes and channels that the settings name. Providers call public with receipts.
func (p *process) startWorkers(public string) error {
	links := auth.NewLinks(p.master, p.old...)
	p.db.LinkBy(func(s tidings.Subscription) string { return strings.TrimSuffix(public, "/") + "/u/" + links.Token(s) })
	lanes, err := readLanes(p.cfg.Lanes)
	if err != nil {
		return err
	}
	deliver, err := p.deliverStages(public)
	if err != nil {
		return err
	}
	work := tasks.Work{
		Lanes: lanes,
		Stages: map[tidings.StageName]tasks.Stage{ // the road, in its order
			tidings.Acquire: handlers.Acquire(p.db, time.Now),
			tidings.Render:  handlers.Render(p.db, time.Now),
			tidings.Route:   handlers.Route(p.db),
		},
		Deliver: deliver,
	}
	if work.Concurrency, err = concurrency(p.cfg.Concurrency); err != nil {
		return err
	}
	dequeuer := newRedis(p.options) // the doorbell hooks into it
	p.onStop("dequeuer", func(context.Context) error { return dequeuer.Close() })
	p.background("relay", forever(p.relay.Run))
	p.background("bells", forever(p.relay.Ring))
	p.background("doorbell", forever(func(ctx context.Context) { p.bell.Listen(ctx, p.redis) }))
	workers, err := tasks.Start(dequeuer, work, p.bell, p.relay, p.taskMet, p.log)
	if err != nil {
		return err
	}
	p.onStop("workers", func(ctx context.Context) error { workers.Stop(ctx); return nil })
	p.background("integrations", forever(func(ctx context.Context) { p.board.Run(ctx, func() { p.integrationsChanged(ctx, workers) }) }))
	p.background("questions", forever(func(ctx context.Context) { handlers.NewAsker(p.db, p.board, p.log).Run(ctx) }))
	p.background("health", forever(p.recordHealth))
	p.background("housekeeping", forever(p.keepHouse))
	p.background("budgets", forever(p.keepBudgets))
	if err := p.startNotifier(); err != nil {
		return err
	}
	p.log.Info("worker serves", "lanes", p.cfg.Lanes, "channels", strings.Join(channelNames(deliver), ","))
	return nil
}

// deliverStages makes the deliver stages of the web and of each channel that an integration is open for, of those that are asked for.
func (p *process) deliverStages(public string) (map[tidings.Channel]tasks.Stage, error) {
	asked, err := readChannels(p.cfg.Channels)
	if err != nil {
		return nil, err
	}
	window, err := time.ParseDuration(p.cfg.ReceiptWindow)
	if err != nil || window < handlers.MinReceiptWindow {
		return nil, fmt.Errorf("TIDINGS_RECEIPT_WINDOW: %q is no duration of %s or more", p.cfg.ReceiptWindow, handlers.MinReceiptWindow)
	}
	board, err := p.switchboard(public)
	if err != nil {
		return nil, err
	}
	p.provider = handlers.Deliver(p.db, board, window, p.log)
	stages := map[tidings.Channel]tasks.Stage{}
	if p.asked(tidings.Web) {
		stages[tidings.Web] = handlers.DeliverWeb(p.db, web.New(p.streams))
	}
	for _, c := range board.Channels() {
		if p.asked(c) {
			stages[c] = p.provider
		}
	}
	for _, c := range asked {
		if _, ok := stages[c]; !ok {
			p.log.Warn("a channel is asked for and has no integration yet; it is served as soon as one is added", "channel", c)
		}
	}
	return stages, nil
}

// asked tells whether the settings name a channel; none named: all are.
func (p *process) asked(c tidings.Channel) bool {
	asked, err := readChannels(p.cfg.Channels)
	return err == nil && (len(asked) == 0 || slices.Contains(asked, c))
}

// integrationsChanged begins to serve the channels that integrations were added for since the start, and takes up what waited
// for one.
func (p *process) integrationsChanged(ctx context.Context, workers *tasks.Workers) {
	for _, c := range p.board.Channels() {
		if !p.asked(c) {
			continue
		}
		begun, err := workers.Serve(c, p.provider)
		if begun {
			p.log.Info("worker serves another channel", "channel", c)
		}
		p.warn(ctx, "serve channel "+string(c), err)
	}
	p.warn(ctx, "wake what waited for an integration", p.db.WakeUnavailable(ctx))
}

func readLanes(text string) (lanes []tidings.Lane, err error) {
	for name := range strings.FieldsFuncSeq(text, isComma) {
		l := tidings.Lane(name)
		if !l.Valid() {
			return nil, fmt.Errorf("TIDINGS_LANES: %q is none of critical, normal, bulk", name)
		}
		lanes = append(lanes, l)
	}
	if len(lanes) == 0 {
		return nil, fmt.Errorf("TIDINGS_LANES names no lane")
	}
	return lanes, nil
}

func readChannels(text string) (channels []tidings.Channel, err error) {
	for name := range strings.FieldsFuncSeq(text, isComma) {
		c := tidings.Channel(name)
		if !c.Valid() {
			return nil, fmt.Errorf("TIDINGS_CHANNELS: %q is none of %s", name, tidings.Names(tidings.Channels))
		}
		channels = append(channels, c)
	}
	return channels, nil
}

func isComma(r rune) bool { return r == ',' || r == ' ' }

func channelNames(stages map[tidings.Channel]tasks.Stage) (names []string) {
	for _, c := range tidings.Channels {
		if _, ok := stages[c]; ok {
			names = append(names, string(c))
		}
	}
	return names
}

// concurrency reads the setting.
func concurrency(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 256 {
		return 0, fmt.Errorf("TIDINGS_CONCURRENCY: %q is no number from 1 to 256", text)
	}
	return n, nil
}

// How often a worker looks after what nobody waits for.
const (
	backlogEvery = 15 * time.Second
	balanceEvery = 5 * time.Minute // it reads whole tables
	keysKept     = 25 * time.Hour  // the promise is 24 h
)

// keepHouse measures what is left to do and whether the balance holds, and forgets old idempotency keys, until ctx ends.
func (p *process) keepHouse(ctx context.Context) {
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tidings_segments_open", Help: "Segments not finished, in SQL, by lane."}, []string{"lane"})
	faults := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidings_balance_faults", Help: "Rows that the balance misses or has too many; must be 0."})
	overdue := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidings_balance_overdue", Help: "Open segments and due deliveries past their time by more than a minute."})
	p.registry.MustRegister(open, faults, overdue)
	backlog, balance := time.NewTicker(backlogEvery), time.NewTicker(balanceEvery)
	defer backlog.Stop()
	defer balance.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-backlog.C:
			n, err := p.db.OpenSegments(ctx)
			for _, l := range tidings.Lanes {
				open.WithLabelValues(string(l)).Set(float64(n[l]))
			}
			p.warn(ctx, "count open segments", err)
		case <-balance.C:
			b, err := p.db.Balance(ctx, time.Minute)
			if err == nil {
				faults.Set(float64(len(b.Faults)))
				overdue.Set(float64(b.Overdue))
			}
			p.warn(ctx, "check the balance", err)
			_, err = p.db.ForgetKeys(ctx, keysKept)
			p.warn(ctx, "forget old idempotency keys", err)
			_, err = p.db.ForgetEvents(ctx, tidings.EventsKept)
			p.warn(ctx, "forget old events", err)
			_, err = p.db.ForgetRemembered(ctx)
			p.warn(ctx, "forget what no cap or dedup window looks back on", err)
		}
	}
}

func (p *process) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		p.log.Warn("could not "+what+"; trying again later", "err", err)
	}
}

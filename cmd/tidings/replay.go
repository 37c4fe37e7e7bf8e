package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

// deadFlags select deliveries that ended without a success.
type deadFlags struct {
	states, reasons, channels, deliveries []string
	typ, message, since, until            string
}

func (f *deadFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringSliceVar(&f.states, "state", nil, "in these states: failed, unknown, expired, suppressed (repeatable)")
	flags.StringSliceVar(&f.reasons, "reason", nil, "for these reasons: provider_refused, provider_silent, ... (repeatable)")
	flags.StringSliceVar(&f.channels, "channel", nil, "on these channels (repeatable)")
	flags.StringVar(&f.typ, "type", "", "of this message type")
	flags.StringVar(&f.message, "message", "", "of this message")
	flags.StringVar(&f.since, "since", "", "that ended not longer ago than this (2h), or not before (RFC 3339)")
	flags.StringVar(&f.until, "until", "", "that ended at least so long ago (10m), or before (RFC 3339)")
}

// filter is what the flags select.
func (f *deadFlags) filter(now time.Time) (r tidings.ReplayFilter, err error) {
	r.Type = f.typ
	for _, s := range f.states {
		r.States = append(r.States, tidings.State(s))
	}
	for _, s := range f.reasons {
		r.Reasons = append(r.Reasons, tidings.Reason(s))
	}
	for _, s := range f.channels {
		r.Channels = append(r.Channels, tidings.Channel(s))
	}
	for _, s := range f.deliveries {
		k, err := tidings.ParseDelivery(s)
		if err != nil {
			return r, err
		}
		r.Deliveries = append(r.Deliveries, k)
	}
	if f.message != "" {
		if r.Message, err = tidings.ParseID(f.message); err != nil {
			return r, err
		}
	}
	if r.Since, err = ago(f.since, now); err != nil {
		return r, err
	}
	r.Until, err = ago(f.until, now)
	return r, err
}

// ago reads a time, or how long ago it was.
func ago(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d).UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		err = fmt.Errorf("%q is neither a time that has passed (2h) nor a time (2026-01-02T15:04:05Z)", text)
	}
	return t, err
}

// replayBody is the body of POST /v1/replays.
type replayBody struct {
	Filter    tidings.ReplayFilter `json:"filter"`
	ExpiresAt string               `json:"expires_at,omitempty"`
	DryRun    bool                 `json:"dry_run"`
	Limit     int                  `json:"limit,omitempty"`
}

// replaying is how a replay is asked for.
type replaying struct {
	deadFlags
	dry, yes, follow bool
	expireIn         time.Duration
	key              string
	limit            int
}

func newReplay(d *deps) *cobra.Command {
	r := &replaying{}
	c := &cobra.Command{
		Use: "replay", Short: "Send again what ended without a success", Args: noArgument,
		Long: `Sends again deliveries that ended without a success. It first prints the exact set and what it costs; only with --yes is anything sent.
Deliveries whose state is unknown may have arrived: they are sent again only if --state names unknown.`,
		Example: `  tidings replay --state failed,unknown --since 2h --dry-run
  tidings replay --state failed --reason provider_refused --channel sms --since 2h --yes
  tidings replay --state expired --since 1h --expire-in 2h --yes`,
		RunE: func(c *cobra.Command, _ []string) error { return r.run(c, d) },
	}
	r.add(c)
	flags := c.Flags()
	flags.StringSliceVar(&r.deliveries, "delivery", nil, "this delivery: MESSAGE/USER/CHANNEL (repeatable)")
	flags.BoolVar(&r.dry, "dry-run", false, "print the set and its cost, and send nothing")
	flags.BoolVar(&r.yes, "yes", false, "send it")
	flags.BoolVarP(&r.follow, "follow", "f", false, "follow it until all is on the road")
	flags.DurationVar(&r.expireIn, "expire-in", 0, "a new end for those whose time ran out")
	flags.StringVar(&r.key, "idempotency-key", "", "make it once, however often the command is repeated")
	flags.IntVar(&r.limit, "limit", 20, "deliveries to print; 0: all of them, as always into a pipe")
	c.MarkFlagsMutuallyExclusive("dry-run", "yes")
	list := &cobra.Command{
		Use: "ls", Short: "List replays, the newest first", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error { return listReplays(c, d) },
	}
	list.Flags().Int("limit", 20, "replays to show")
	show := &cobra.Command{
		Use: "show ID", Short: "Show a replay: what was sent again, what was left out and why, and how it fares", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error { return showReplay(c, d, args[0]) },
	}
	show.Flags().Int("limit", 20, "deliveries to show")
	cancel := &cobra.Command{
		Use: "cancel ID", Short: "End a replay; what it has put on the road stays there", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPost, replayPath(args[0])+"/cancel", nil, "replay "+args[0]+" is canceled")
		},
	}
	c.AddCommand(withApp(list), withApp(show), withClient(cancel))
	return withApp(c)
}

func replayPath(id string) string { return "/v1/replays/" + url.PathEscape(id) }

func (r *replaying) run(c *cobra.Command, d *deps) error {
	now := time.Now()
	filter, err := r.filter(now)
	if err != nil {
		return &usageError{c.CommandPath(), err}
	}
	body := replayBody{Filter: filter, DryRun: true, Limit: r.limit}
	if r.expireIn > 0 {
		body.ExpiresAt = now.Add(r.expireIn).UTC().Format(time.RFC3339)
	}
	api, err := d.client(c)
	if err != nil {
		return err
	}
	p, path := d.printer(c), withQuery("/v1/replays", ofApp(c))
	if !p.tty && !c.Flags().Changed("limit") {
		body.Limit = 0
	}
	if !r.yes {
		plan, err := api.plan(c.Context(), path, body)
		if err != nil {
			return err
		}
		if err := printPlan(p, plan); err != nil || r.dry {
			return err
		}
		return errors.New("nothing was sent; --yes sends it")
	}
	body.DryRun, body.Limit = false, 0
	var headers []string
	if r.key != "" {
		headers = []string{"Idempotency-Key", r.key}
	}
	var made tidings.Replay
	if err := api.call(c.Context(), http.MethodPost, path, body, &made, headers...); err != nil {
		return err
	}
	if r.follow {
		if made, err = followReplay(c, api, made); err != nil {
			return err
		}
	}
	return printReplay(p, made)
}

// plan asks what a replay would do; body's limit 0: with all of its deliveries.
func (c *client) plan(ctx context.Context, path string, body replayBody) (plan tidings.ReplayPlan, err error) {
	if body.Limit > 0 {
		return plan, c.call(ctx, http.MethodPost, path, body, &plan)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return plan, err
	}
	resp, err := c.open(ctx, http.MethodPost, path, bytes.NewReader(text), "Accept", "application/x-ndjson")
	if err != nil {
		return plan, err
	}
	defer resp.Body.Close() //nolint:errcheck // read
	all := []tidings.DeadLetter{}
	for lines := json.NewDecoder(resp.Body); ; {
		var line struct {
			tidings.DeadLetter
			Plan *tidings.ReplayPlan `json:"plan"`
		}
		if err := lines.Decode(&line); err != nil {
			return plan, fmt.Errorf("the answer was cut off after %d deliveries: %w", len(all), err)
		}
		if line.Plan != nil {
			line.Plan.Deliveries, line.Plan.More = all, false
			return *line.Plan, nil
		}
		all = append(all, line.DeadLetter)
	}
}

func followReplay(c *cobra.Command, api *client, r tidings.Replay) (tidings.Replay, error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for r.State == tidings.ReplayRunning {
		select {
		case <-tick.C:
		case <-c.Context().Done():
			return r, context.Cause(c.Context())
		}
		if err := api.call(c.Context(), http.MethodGet, replayPath(r.ID.String()), nil, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// printPlan prints the sums of a plan and then its deliveries. A pipe gets the deliveries alone.
func printPlan(p *printer, plan tidings.ReplayPlan) error {
	if p.json {
		return p.value(plan)
	}
	if p.tty {
		p.line("%d deliveries would be sent again, %d SMS parts; %d are left out", plan.Count, plan.Parts, plan.Left)
		p.line("  by channel  %s", tally(plan.Channels))
		p.line("  by state    %s", tally(plan.States))
		p.line("  by reason   %s", tally(plan.Reasons))
		if plan.Left > 0 {
			p.line("  left out    %s", tally(plan.Why))
		}
	}
	err := p.table(deadHeader, deadRows(plan.Deliveries))
	if plan.More && p.tty {
		p.line("and %d more; --limit 0 prints all of them", plan.Count+plan.Left-len(plan.Deliveries))
	}
	return err
}

var deadHeader = []string{"DELIVERY", "TYPE", "STATE", "ENDED", "ATTEMPTS", "INTEGRATION", "PARTS", "LEFT OUT"}

func deadRows(letters []tidings.DeadLetter) [][]string {
	rows := make([][]string, len(letters))
	for i, l := range letters {
		rows[i] = []string{l.DeliveryKey.String(), l.Type, withReason(string(l.State), l.Reason), shownTime(l.EndedAt), fmt.Sprint(l.Attempts),
			or(l.Integration, "-"), fmt.Sprint(l.Parts), or(string(l.LeftOut), "-")}
	}
	return rows
}

// tally prints counts, the largest first.
func tally[T ~string](counts map[T]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b T) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(string(a), string(b))
	})
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("%s %d", or(string(k), "-"), counts[k])
	}
	return or(strings.Join(parts, ", "), "-")
}

func listReplays(c *cobra.Command, d *deps) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	limit, _ := c.Flags().GetInt("limit")
	rs, err := list[tidings.Replay](c.Context(), api, "/v1/replays", ofApp(c), "before", limit)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(rs)
	}
	rows := make([][]string, len(rs))
	for i, r := range rs {
		rows[i] = []string{r.ID.String(), string(r.State), r.MadeBy, shownTime(r.MadeAt), fmt.Sprint(r.Replayed), fmt.Sprint(r.LeftOut), fmt.Sprint(r.Parts), shownFilter(r.Filter)}
	}
	return p.table([]string{"ID", "STATE", "BY", "MADE", "REPLAYED", "LEFT OUT", "PARTS", "FILTER"}, rows)
}

// shownFilter writes a filter in the words of the flags.
func shownFilter(f tidings.ReplayFilter) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	add("state", tidings.Names(f.States))
	add("reason", tidings.Names(f.Reasons))
	add("channel", tidings.Names(f.Channels))
	add("type", f.Type)
	if f.Message != 0 {
		add("message", f.Message.String())
	}
	add("since", shownTime(f.Since))
	add("until", shownTime(f.Until))
	switch n := len(f.Deliveries); {
	case n == 1:
		add("delivery", f.Deliveries[0].String())
	case n > 1:
		add("deliveries", fmt.Sprint(n))
	}
	return strings.Join(parts, "; ")
}

func printReplay(p *printer, r tidings.Replay) error {
	if p.json {
		return p.value(r)
	}
	p.line("replay %s  %s  by %s  %s", r.ID, r.State, plain(r.MadeBy), shownTime(r.MadeAt))
	p.line("  %s", shownFilter(r.Filter))
	p.line("  %d sent again, %d SMS parts; now: %s", r.Replayed, r.Parts, tally(r.Now))
	if r.LeftOut > 0 {
		p.line("  %d left out: %s", r.LeftOut, tally(r.Why))
	}
	return nil
}

func showReplay(c *cobra.Command, d *deps, id string) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	var r tidings.Replay
	if err := api.call(c.Context(), http.MethodGet, withQuery(replayPath(id), ofApp(c)), nil, &r); err != nil {
		return err
	}
	limit, _ := c.Flags().GetInt("limit")
	items, err := list[tidings.ReplayedDelivery](c.Context(), api, replayPath(id)+"/deliveries", ofApp(c), "after", limit)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(struct {
			tidings.Replay
			Deliveries []tidings.ReplayedDelivery `json:"deliveries"`
		}{r, items})
	}
	if err := printReplay(p, r); err != nil {
		return err
	}
	rows := make([][]string, len(items))
	for i, l := range items {
		rows[i] = []string{l.DeliveryKey.String(), withReason(string(l.State), l.Reason), or(string(l.LeftOut), "-"), withReason(string(l.Now), l.ReasonNow)}
	}
	return p.table([]string{"DELIVERY", "WAS", "LEFT OUT", "NOW"}, rows)
}

func newDeadLetter(d *deps) *cobra.Command {
	f := &deadFlags{}
	list := &cobra.Command{
		Use: "ls", Short: "List deliveries that ended without a success, those of the newest messages first", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error { return listDeadLetters(c, d, f) },
	}
	f.add(list)
	list.Flags().Int("limit", 50, "deliveries to show")
	again := &replaying{yes: true}
	unknown := false
	redrive := &cobra.Command{
		Use: "redrive MESSAGE/USER/CHANNEL...", Short: "Send single deliveries again; 'tidings replay' sends what a filter selects",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("MESSAGE/USER/CHANNEL is missing; 'tidings dead-letter ls' lists them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			again.deliveries, again.states = args, nil
			if unknown {
				for _, s := range tidings.DeadStates {
					again.states = append(again.states, string(s))
				}
			}
			return again.run(c, d)
		},
	}
	flags := redrive.Flags()
	flags.BoolVar(&unknown, "unknown", false, "also if nobody knows whether they arrived")
	flags.BoolVarP(&again.follow, "follow", "f", false, "follow it until they are on the road")
	flags.DurationVar(&again.expireIn, "expire-in", 0, "a new end for those whose time ran out")
	return newGroup("dead-letter", "Deliveries that ended without a success", withApp(list), withApp(redrive))
}

func listDeadLetters(c *cobra.Command, d *deps, f *deadFlags) error {
	filter, err := f.filter(time.Now())
	if err != nil {
		return &usageError{c.CommandPath(), err}
	}
	api, err := d.client(c)
	if err != nil {
		return err
	}
	q := ofApp(c)
	q["state"], q["reason"], q["channel"] = f.states, f.reasons, f.channels
	for name, value := range map[string]string{"type": f.typ, "message": f.message, "since": rfc(filter.Since), "until": rfc(filter.Until)} {
		if value != "" {
			q.Set(name, value)
		}
	}
	limit, _ := c.Flags().GetInt("limit")
	letters, err := list[tidings.DeadLetter](c.Context(), api, "/v1/dead-letters", q, "before", limit)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(letters)
	}
	return p.table(deadHeader, deadRows(letters))
}

func rfc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

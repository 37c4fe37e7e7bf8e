package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

func newBroadcast(d *deps) *cobra.Command {
	list := &cobra.Command{
		Use: "ls", Short: "List broadcasts, the newest first", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error { return listBroadcasts(c, d) },
	}
	list.Flags().Int("limit", 20, "broadcasts to show")
	show := &cobra.Command{
		Use: "show ID", Short: "Show how far a broadcast has come", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error { return showBroadcast(c, d, args[0]) },
	}
	show.Flags().BoolP("follow", "f", false, "follow it to its end")
	rate := &cobra.Command{
		Use: "rate ID N", Short: "Set how many notifications a second it becomes; 0: no limit", Args: arguments("ID", "N"),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 {
				return &usageError{c.CommandPath(), fmt.Errorf("%q is no number of notifications a second", args[1])}
			}
			return d.put(c, http.MethodPut, broadcastPath(args[0])+"/rate", map[string]int{"rate": n}, fmt.Sprintf("broadcast %s: %d a second", args[0], n))
		},
	}
	return newGroup("broadcast", "Send, watch and steer messages to many",
		newBroadcastCreate(d), withApp(list), withClient(show),
		newSteer(d, "pause", "Hold what is not yet sent", "is paused; 'resume' goes on where it stood"),
		newSteer(d, "resume", "Go on where it was paused", "goes on"),
		newSteer(d, "cancel", "End what is pending, and its reminders", "is canceled; what was sent stays sent"),
		withClient(rate), newReads(d), newProof(d), newVerify(d))
}

func broadcastPath(id string) string { return "/v1/broadcasts/" + url.PathEscape(id) }

func newSteer(d *deps, verb, short, done string) *cobra.Command {
	return withClient(&cobra.Command{
		Use: verb + " ID", Short: short, Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPost, broadcastPath(args[0])+"/"+verb, nil, "broadcast "+args[0]+" "+done)
		},
	})
}

// broadcastBody is the body of POST /v1/broadcasts.
type broadcastBody struct {
	sendBody
	Rate      int                   `json:"rate,omitempty"`
	MustRead  bool                  `json:"must_read,omitempty"`
	Reminders []tidings.NewReminder `json:"reminders,omitempty"`
}

func newBroadcastCreate(d *deps) *cobra.Command {
	f, b := &sendFlags{}, &broadcastBody{}
	var remind []string
	c := &cobra.Command{
		Use: "create TYPE", Short: "Send a message to many", Args: arguments("TYPE"),
		Example: `  tidings broadcast create notice.upgrade --merchant acme --data @notice.json --rate 500
  tidings broadcast create notice.rules --everyone --app notices --must-read --remind 24h --remind 48h=sms --data '{}'`,
		RunE: func(c *cobra.Command, args []string) error {
			f.body.Type = args[0]
			if err := f.complete(c.InOrStdin()); err != nil {
				return &usageError{c.CommandPath(), err}
			}
			for _, r := range remind {
				b.Reminders = append(b.Reminders, tidings.ParseReminder(r))
			}
			b.sendBody = f.body
			return createBroadcast(c, d, f, b)
		},
	}
	a, flags := &f.body.Audience, c.Flags()
	flags.StringSliceVar(&a.Merchants, "merchant", nil, "to this merchant's users (repeatable)")
	flags.StringSliceVar(&a.Stores, "store", nil, "to this store's users (repeatable)")
	flags.StringSliceVar(&a.Users, "user", nil, "to this user (repeatable)")
	flags.StringSliceVar(&a.Roles, "role", nil, "only to members with this role (repeatable)")
	flags.StringVar((*string)(&a.Scope), "scope", "", "of the merchants named: all, merchant or stores")
	flags.BoolVar(&a.Everyone, "everyone", false, "to every user (admins and operators)")
	flags.StringVar(&f.data, "data", "", "values of the type's variables: a JSON object, @FILE, or - for standard input")
	flags.StringSliceVar(&f.channels, "channel", nil, "only on this channel (repeatable)")
	flags.DurationVar(&f.in, "in", 0, "send after this time (2h30m)")
	flags.StringVar(&f.sendAt, "at", "", "send at this time (RFC 3339)")
	flags.DurationVar(&f.expireIn, "expire-in", 0, "do not send later than after this time")
	flags.StringVar(&f.idempotency, "idempotency-key", "", "send it once, however often the command is repeated")
	flags.IntVar(&b.Rate, "rate", 0, "notifications a second over all workers; 0: no limit")
	flags.BoolVar(&b.MustRead, "must-read", false, "count who has read it, by region, merchant and store")
	flags.StringSliceVar(&remind, "remind", nil, "remind who has not read it after this time, on channels if wished: 24h or 48h=sms+app (repeatable)")
	c.MarkFlagsMutuallyExclusive("in", "at")
	return withApp(c)
}

func createBroadcast(c *cobra.Command, d *deps, f *sendFlags, b *broadcastBody) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	var headers []string
	if f.idempotency != "" {
		headers = []string{"Idempotency-Key", f.idempotency}
	}
	path := "/v1/broadcasts"
	if q := ofApp(c).Encode(); q != "" {
		path += "?" + q
	}
	var raw json.RawMessage
	if err := api.call(c.Context(), http.MethodPost, path, b, &raw, headers...); err != nil {
		return err
	}
	var accepted struct{ ID tidings.ID }
	if err := json.Unmarshal(raw, &accepted); err != nil {
		return err
	}
	p := d.printer(c)
	switch {
	case p.json:
		return p.value(raw)
	case !p.tty:
		p.line("%s", accepted.ID)
	default:
		p.line("accepted %s\n  tidings broadcast show -f %s   follows it", accepted.ID, accepted.ID)
	}
	return nil
}

func listBroadcasts(c *cobra.Command, d *deps) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	limit, _ := c.Flags().GetInt("limit")
	bs, err := list[tidings.Broadcast](c.Context(), api, "/v1/broadcasts", ofApp(c), "before", limit)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(bs)
	}
	rows := make([][]string, len(bs))
	for i, b := range bs {
		rows[i] = []string{b.ID.String(), b.Type, string(b.State), fmt.Sprintf("%d/%d", b.Progress.Frozen, b.Progress.Audience), shownTime(b.AcceptedAt)}
	}
	return p.table([]string{"ID", "TYPE", "STATE", "USERS", "ACCEPTED"}, rows)
}

func showBroadcast(c *cobra.Command, d *deps, id string) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	follow, _ := c.Flags().GetBool("follow")
	p := d.printer(c)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var b tidings.Broadcast
		if err := api.call(c.Context(), http.MethodGet, broadcastPath(id), nil, &b); err != nil {
			return err
		}
		ended := b.State == tidings.BroadcastDone || b.State == tidings.BroadcastCanceled
		switch {
		case !follow || ended:
			if follow && p.tty {
				p.line("")
			}
			return printBroadcast(p, b)
		case p.tty:
			fmt.Fprintf(p.out, "\r\x1b[K%s", progressLine(b))
		case !p.json:
			p.line("%s", progressLine(b))
		}
		select {
		case <-tick.C:
		case <-c.Context().Done():
			return nil
		}
	}
}

func progressLine(b tidings.Broadcast) string {
	const width = 30
	n := int(b.Progress.Percent / 100 * width)
	line := fmt.Sprintf("[%s%s] %5.1f %%  %s", strings.Repeat("#", n), strings.Repeat("-", width-n), b.Progress.Percent, b.State)
	if !b.Progress.ETA.IsZero() {
		line += ", done about " + shownTime(b.Progress.ETA)
	}
	return line
}

func printBroadcast(p *printer, b tidings.Broadcast) error {
	if p.json {
		return p.value(b)
	}
	g := b.Progress
	p.line("%s  %s  %s", b.ID, plain(b.Type), progressLine(b))
	about := ""
	if g.Estimated {
		about = "about "
	}
	p.line("  %s%d users, %d notifications, %d rendered, %d routed; %s", about, g.Audience, g.Frozen, g.Rendered, g.Routed, counts(g.Counts))
	if b.Rate > 0 {
		p.line("  %d notifications a second", b.Rate)
	}
	p.line("  %d read it", g.Read)
	for _, r := range b.Reminders {
		p.line("  reminder %d, %s: %s %s", r.N, shownTime(r.DueAt), r.State, optional("to ", usersOf(r)))
	}
	return nil
}

func usersOf(r tidings.Reminder) string {
	if r.State != tidings.ReminderSent {
		return ""
	}
	return fmt.Sprintf("%d users (broadcast %s)", r.Users, r.Message)
}

func newReads(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "reads ID", Short: "Show who has read a must-read notice: regions, their merchants, stores, people", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{"limit": {"200"}}
			for _, name := range []string{"region", "merchant", "store", "after"} {
				if c.Flags().Changed(name) {
					v, _ := c.Flags().GetString(name)
					query.Set(name, v)
				}
			}
			api, err := d.client(c)
			if err != nil {
				return err
			}
			var reads tidings.Reads
			if err := api.call(c.Context(), http.MethodGet, broadcastPath(args[0])+"/reads?"+query.Encode(), nil, &reads); err != nil {
				return err
			}
			return printReads(d.printer(c), reads)
		},
	}
	c.Flags().String("region", "", "the merchants of this region")
	c.Flags().String("merchant", "", "the stores of this merchant")
	c.Flags().String("store", "", "the people of this store; '' for a merchant's own members")
	c.Flags().String("after", "", "go on after this id")
	return withClient(c)
}

func printReads(p *printer, r tidings.Reads) error {
	if p.json {
		return p.value(r)
	}
	p.line("%d of %d have read it", r.Read, r.Total)
	rows := make([][]string, len(r.Nodes))
	for i, n := range r.Nodes {
		rows[i] = []string{or(n.ID, "(none)"), n.Name, fmt.Sprintf("%d/%d", n.Read, n.Total), shownTime(n.ReadAt)}
	}
	err := p.table([]string{strings.ToUpper(r.Level), "NAME", "READ", "AT"}, rows)
	if r.More && err == nil {
		p.line("there are more: --after %s", r.Nodes[len(r.Nodes)-1].ID)
	}
	return err
}

func newProof(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "proof ID", Short: "Write the signed proof of who got and read a must-read notice", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := d.client(c)
			if err != nil {
				return err
			}
			format, _ := c.Flags().GetString("format")
			resp, err := api.open(c.Context(), http.MethodGet, broadcastPath(args[0])+"/proof?format="+url.QueryEscape(format), nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(c.OutOrStdout(), resp.Body)
			return err
		},
	}
	c.Flags().String("format", "csv", "csv or jsonl")
	return withClient(c)
}

func newVerify(d *deps) *cobra.Command {
	return withClient(&cobra.Command{
		Use: "verify FILE", Short: "Check that a proof is what this installation wrote", Args: arguments("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			seal, err := tidings.CheckProof(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			api, err := d.client(c)
			if err != nil {
				return err
			}
			var verdict struct{ Valid bool }
			if err := api.call(c.Context(), http.MethodPost, "/v1/broadcasts:verify", seal, &verdict); err != nil {
				return err
			}
			if !verdict.Valid {
				return errors.New(args[0] + ": the lines belong together, but this installation did not sign them")
			}
			d.printer(c).line("%s: %d lines of broadcast %s, as they were signed", args[0], seal.Lines, seal.Broadcast)
			return nil
		},
	})
}

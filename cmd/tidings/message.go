package main

import (
	"context"
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

func newMessage(d *deps) *cobra.Command {
	show := &cobra.Command{
		Use: "show ID", Short: "Show how a message fares, down to the attempts", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error { return showMessage(c, d, args[0]) },
	}
	show.Flags().Int("limit", 50, "deliveries to show")
	list := &cobra.Command{
		Use: "ls", Short: "List messages, the newest first", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error { return listMessages(c, d) },
	}
	list.Flags().Int("limit", 20, "messages to show")
	list.Flags().String("type", "", "only of this message type")
	cancel := &cobra.Command{
		Use: "cancel ID", Short: "Take back what has not been sent yet", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error { return cancelMessage(c, d, args[0]) },
	}
	cancel.Flags().String("user", "", "only one user's delivery, with --channel")
	cancel.Flags().String("channel", "", "only the delivery on this channel, with --user")
	cancel.MarkFlagsRequiredTogether("user", "channel")
	m := newGroup("message", "Show, list and cancel messages", withClient(show), withClient(list), withClient(cancel))
	// 'tidings message ID' is what people type first.
	m.Use, m.Args = "message [ID]", cobra.MaximumNArgs(1)
	m.Flags().Int("limit", 50, "deliveries to show")
	m.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		if _, err := tidings.ParseID(args[0]); err != nil {
			return &usageError{c.CommandPath(), fmt.Errorf("%q is neither a command nor a message's id", args[0])}
		}
		return showMessage(c, d, args[0])
	}
	return withClient(m)
}

// messageShown is a message with its deliveries, as --json prints it.
type messageShown struct {
	tidings.MessageStatus
	Deliveries []tidings.DeliveryTrace `json:"deliveries"`
}

func showMessage(c *cobra.Command, d *deps, id string) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	limit, _ := c.Flags().GetInt("limit")
	m, err := readMessage(c.Context(), api, id, limit)
	if err != nil {
		return err
	}
	return printMessage(d.printer(c), m)
}

func readMessage(ctx context.Context, api *client, id string, limit int) (m messageShown, err error) {
	path := "/v1/messages/" + url.PathEscape(id)
	if err := api.call(ctx, http.MethodGet, path, nil, &m.MessageStatus); err != nil {
		return m, err
	}
	m.Deliveries, err = list[tidings.DeliveryTrace](ctx, api, path+"/deliveries", nil, "after", limit)
	return m, err
}

// showWhenDone waits until every delivery of a message has come to rest.
func showWhenDone(c *cobra.Command, api *client, p *printer, id tidings.ID) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := readMessage(c.Context(), api, id.String(), 50)
		if err != nil {
			return err
		}
		if m.Status != "accepted" && m.Status != "processing" {
			return printMessage(p, m)
		}
		select {
		case <-tick.C:
		case <-c.Context().Done():
			return context.Cause(c.Context())
		}
	}
}

// printMessage shows a message as a tree: deliveries below it, attempts below them, receipts below those.
func printMessage(p *printer, m messageShown) error {
	if p.json {
		return p.value(m)
	}
	p.line("%s  %s  %s  %s lane", m.ID, plain(m.Type), withReason(m.Status, m.Reason), m.Lane)
	p.line("  from %s, accepted %s, expires %s", plain(m.Application), shownTime(m.AcceptedAt), shownTime(m.ExpiresAt))
	if !m.SendAt.IsZero() {
		p.line("  to be sent %s", shownTime(m.SendAt))
	}
	if m.Users >= 0 {
		p.line("  %d users; %s", m.Users, counts(m.Counts))
	}
	if m.Parent != 0 {
		p.line("  a step of %s", m.Parent)
	}
	for _, e := range m.Escalations {
		line := fmt.Sprintf("  step %d to %s: %s", e.Step, plain(e.To), withReason(string(e.State), e.Reason))
		if !e.DueAt.IsZero() {
			line += " until " + shownTime(e.DueAt)
		}
		if e.Child != 0 {
			line += ", message " + e.Child.String()
		}
		p.line("%s", line)
	}
	for i, t := range m.Deliveries {
		printDelivery(p, t, i == len(m.Deliveries)-1)
	}
	return nil
}

func counts(by map[tidings.Channel]map[tidings.State]int) string {
	var parts []string
	for _, channel := range tidings.Channels {
		states := by[channel]
		for _, state := range slices.Sorted(maps.Keys(states)) {
			parts = append(parts, fmt.Sprintf("%s %s %d", channel, state, states[state]))
		}
	}
	return or(strings.Join(parts, ", "), "no deliveries yet")
}

func printDelivery(p *printer, t tidings.DeliveryTrace, last bool) {
	branch, below := "├─ ", "│  "
	if last {
		branch, below = "└─ ", "   "
	}
	p.line("%s%s on %s: %s  %s", branch, plain(t.User), t.Channel, withReason(string(t.State), t.Reason), shownTime(t.ChangedAt))
	if t.Detail != "" {
		p.line("%s  %s", below, plain(t.Detail))
	}
	if said := why(t.Decisions); said != "" {
		p.line("%s  %s", below, plain(said))
	}
	if !t.DueAt.IsZero() {
		p.line("%s  due %s", below, shownTime(t.DueAt))
	}
	for _, a := range t.Attempts {
		p.line("%s  attempt %d by %s: %s%s%s", below, a.N, plain(byWhom(a)), withReason(string(a.State), a.Reason),
			took(a), optional("  ", plain(a.Detail)))
		for _, r := range a.Receipts {
			p.line("%s    receipt %s: %s%s", below, shownTime(r.At), r.Kind, optional("  ", plain(r.Detail)))
		}
	}
}

// byWhom names the integration that made an attempt, with its provider where that is another word.
func byWhom(a tidings.AttemptTrace) string {
	if a.Integration == "" || a.Integration == a.Provider {
		return a.Provider
	}
	return a.Integration + " (" + a.Provider + ")"
}

func took(a tidings.AttemptTrace) string {
	if a.EndedAt.IsZero() {
		return ""
	}
	s := " in " + a.EndedAt.Sub(a.StartedAt).Round(time.Millisecond).String()
	if a.Parts > 0 {
		s += fmt.Sprintf(", %d parts", a.Parts)
	}
	return s
}

func withReason(state string, r tidings.Reason) string {
	if r == tidings.NoReason {
		return state
	}
	return state + " (" + string(r) + ")"
}

func optional(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func listMessages(c *cobra.Command, d *deps) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	limit, _ := c.Flags().GetInt("limit")
	query := url.Values{}
	if typ, _ := c.Flags().GetString("type"); typ != "" {
		query.Set("type", typ)
	}
	ms, err := list[tidings.MessageStatus](c.Context(), api, "/v1/messages", query, "before", limit)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(ms)
	}
	rows := make([][]string, len(ms))
	for i, m := range ms {
		rows[i] = []string{m.ID.String(), m.Type, withReason(m.Status, m.Reason), fmt.Sprint(max(m.Users, 0)), shownTime(m.AcceptedAt), counts(m.Counts)}
	}
	return p.table([]string{"ID", "TYPE", "STATUS", "USERS", "ACCEPTED", "DELIVERIES"}, rows)
}

func cancelMessage(c *cobra.Command, d *deps, id string) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	var done struct {
		Canceled int `json:"canceled"`
	}
	path := "/v1/messages/" + url.PathEscape(id)
	if user, _ := c.Flags().GetString("user"); user != "" {
		channel, _ := c.Flags().GetString("channel")
		path += "/deliveries/" + url.PathEscape(user) + "/" + url.PathEscape(channel)
	}
	if err := api.call(c.Context(), http.MethodDelete, path, nil, &done); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(done)
	}
	p.line("%d deliveries canceled; what was sent already stays sent", done.Canceled)
	return nil
}

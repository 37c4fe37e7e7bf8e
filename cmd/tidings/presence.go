package main

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"tidings"
)

func newPresence(d *deps) *cobra.Command {
	return withClient(&cobra.Command{
		Use: "presence [USER]", Short: "Show how many pages are connected, or those of one user", Args: cobra.MaximumNArgs(1),
		Long: `Show how many connections each comet node holds, by transport, or the connections of one user: which client, how, where and since when.
A page that polls is connected while its request waits.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return d.showListeners(c, args[0])
			}
			return d.showPresence(c)
		},
	})
}

func (d *deps) showListeners(c *cobra.Command, user string) error {
	return show(c, d, "/v1/presence/"+url.PathEscape(user), nil, []string{"CLIENT", "TRANSPORT", "NODE", "SINCE"}, func(l tidings.Listener) []string {
		return []string{l.Client, l.Transport, l.Node, shownTime(l.Since)}
	})
}

func (d *deps) showPresence(c *cobra.Command) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var found tidings.Presence
	if err := api.call(c.Context(), http.MethodGet, "/v1/presence", nil, &found); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(found)
	}
	row := func(name, state string, connections int, most string, by map[string]int) []string {
		cells := []string{name, state, strconv.Itoa(connections), most}
		for _, t := range tidings.Transports {
			cells = append(cells, strconv.Itoa(by[t]))
		}
		return cells
	}
	var rows [][]string
	for _, n := range found.Nodes {
		state := "open"
		if n.Draining {
			state = "draining"
		}
		rows = append(rows, row(n.Node, state, n.Connections, strconv.Itoa(n.Most), n.Transports))
	}
	rows = append(rows, row("all", "", found.Connections, "", found.Transports))
	return p.table([]string{"NODE", "STATE", "CONNECTIONS", "OF", "POLL", "STREAM", "EVENTS", "WS"}, rows)
}

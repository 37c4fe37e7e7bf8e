package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
)

func newHistory(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "history", Short: "Read a user's inbox, or the history of a merchant or store", Args: noArgument,
		Example: `  tidings history                 the inbox of the user in TIDINGS_TOKEN
  tidings history --user u-lin --unread
  tidings history --merchant acme --key tdm_...`,
		RunE: func(c *cobra.Command, _ []string) error { return readHistory(c, d) },
	}
	c.Flags().Int("limit", 20, "messages to show")
	c.Flags().String("user", "", "this user's inbox, by a token that the key mints")
	c.Flags().String("merchant", "", "the history of this merchant")
	c.Flags().String("store", "", "the history of this store")
	c.Flags().Bool("unread", false, "only what is not read")
	c.Flags().Bool("archived", false, "what is archived instead of what is not")
	c.MarkFlagsMutuallyExclusive("user", "merchant", "store")
	return withClient(c)
}

func readHistory(c *cobra.Command, d *deps) error {
	limit, _ := c.Flags().GetInt("limit")
	if merchant, _ := c.Flags().GetString("merchant"); merchant != "" {
		return dimensionHistory(c, d, "/v1/merchants/"+url.PathEscape(merchant)+"/messages", limit)
	}
	if store, _ := c.Flags().GetString("store"); store != "" {
		return dimensionHistory(c, d, "/v1/stores/"+url.PathEscape(store)+"/messages", limit)
	}
	user, _ := c.Flags().GetString("user")
	api, err := d.userClient(c, user)
	if err != nil {
		return err
	}
	query := url.Values{}
	for _, name := range []string{"unread", "archived"} {
		if on, _ := c.Flags().GetBool(name); on {
			query.Set(name, "true")
		}
	}
	items, err := list[tidings.InboxItem](c.Context(), api, "/v1/inbox", query, "before", limit)
	if err != nil {
		return err
	}
	var unread struct{ Unread int }
	if err := api.call(c.Context(), http.MethodGet, "/v1/inbox/unread", nil, &unread); err != nil {
		return err
	}
	return printInbox(d.printer(c), items, unread.Unread)
}

func printInbox(p *printer, items []tidings.InboxItem, unread int) error {
	if p.json {
		return p.value(map[string]any{"data": items, "unread": unread})
	}
	rows := make([][]string, len(items))
	for i, it := range items {
		mark := "●"
		if !it.ReadAt.IsZero() {
			mark = ""
		}
		rows[i] = []string{mark, shownTime(it.At), it.Type, strings.Join(it.Via, " "), it.Title, it.Body, it.ID.String()}
	}
	if err := p.table([]string{"", "ACCEPTED", "TYPE", "THROUGH", "TITLE", "TEXT", "ID"}, rows); err != nil {
		return err
	}
	if p.tty {
		p.line("%d unread", unread)
	}
	return nil
}

func dimensionHistory(c *cobra.Command, d *deps, path string, limit int) error {
	api, err := d.client(c)
	if err != nil {
		return err
	}
	items, err := list[tidings.HistoryItem](c.Context(), api, path, nil, "before", limit)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(items)
	}
	rows := make([][]string, len(items))
	for i, it := range items {
		rows[i] = []string{shownTime(it.At), it.Application, it.Type, it.Title, fmt.Sprintf("%d of %d", it.Read, it.Users), it.ID.String()}
	}
	return p.table([]string{"ACCEPTED", "APPLICATION", "TYPE", "TITLE", "READ", "ID"}, rows)
}

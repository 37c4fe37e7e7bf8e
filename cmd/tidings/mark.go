package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// newMark makes the command that says what a person says with a click on his page.
func newMark(d *deps) *cobra.Command {
	var user, merchant, store, upTo string
	c := &cobra.Command{
		Use: "mark seen|read|archive [ID...]", Short: "Mark messages of a user's inbox, or of a merchant's or store's history",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] != "seen" && args[0] != "read" && args[0] != "archive" {
				return errors.New("as what? seen, read or archive")
			}
			if (len(args) == 1) == (upTo == "") {
				return errors.New("which messages? give their ids, or --up-to the newest of them")
			}
			return nil
		},
		Example: `  tidings mark read 1CZ8Q4N5T0000          in the inbox of the user in TIDINGS_TOKEN
  tidings mark archive --user u-lin --up-to 1CZ8Q4N5T0000
  tidings mark read --store acme-1 --key tdm_... 1CZ8Q4N5T0000`,
		RunE: func(c *cobra.Command, args []string) error {
			path, asUser := "/v1/inbox/", false
			switch {
			case merchant != "":
				path = "/v1/merchants/" + url.PathEscape(merchant) + "/messages/"
			case store != "":
				path = "/v1/stores/" + url.PathEscape(store) + "/messages/"
			default:
				asUser = true
			}
			api, err := d.markClient(c, asUser, user)
			if err != nil {
				return err
			}
			in := map[string]any{"ids": args[1:]}
			if upTo != "" {
				in = map[string]any{"up_to": upTo}
			}
			var done struct {
				Changed int `json:"changed"`
			}
			if err := api.call(c.Context(), http.MethodPost, path+args[0], in, &done); err != nil {
				return err
			}
			p := d.printer(c)
			if p.json {
				return p.value(done)
			}
			p.line("%s", fmt.Sprintf("%d marked as %s", done.Changed, map[string]string{"seen": "seen", "read": "read", "archive": "archived"}[args[0]]))
			return nil
		},
	}
	c.Flags().StringVar(&user, "user", "", "in this user's inbox, by a token that the key mints")
	c.Flags().StringVar(&merchant, "merchant", "", "in the history of this merchant, for all who got it")
	c.Flags().StringVar(&store, "store", "", "in the history of this store, for all who got it")
	c.Flags().StringVar(&upTo, "up-to", "", "everything up to this message (inbox)")
	c.MarkFlagsMutuallyExclusive("user", "merchant", "store")
	return withClient(c)
}

func (d *deps) markClient(c *cobra.Command, asUser bool, user string) (*client, error) {
	if asUser {
		return d.userClient(c, user)
	}
	return d.client(c)
}

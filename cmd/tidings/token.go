package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// mintedToken is the answer of POST /v1/tokens.
type mintedToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

func newToken(d *deps) *cobra.Command {
	var types []string
	c := &cobra.Command{
		Use: "token USER", Short: "Mint a user token for the browser, with the application's key", Args: arguments("USER"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := d.client(c)
			if err != nil {
				return err
			}
			t, err := mintToken(c.Context(), api, args[0], types)
			if err != nil {
				return err
			}
			p := d.printer(c)
			if p.json {
				return p.value(t)
			}
			p.line("%s", plain(t.Token))
			fmt.Fprintln(d.errout, "It ends at", shownTime(t.ExpiresAt))
			return nil
		},
	}
	c.Flags().StringSliceVar(&types, "type", nil, "only messages of this type may be seen with it (repeatable)")
	return withClient(c)
}

func mintToken(ctx context.Context, api *client, user string, types []string) (mintedToken, error) {
	in := map[string]any{"user": user}
	if len(types) > 0 {
		in["types"] = types
	}
	var t mintedToken
	err := api.call(ctx, http.MethodPost, "/v1/tokens", in, &t)
	return t, err
}

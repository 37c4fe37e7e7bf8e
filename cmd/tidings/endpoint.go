package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

func newEndpoint(d *deps) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "List an application's endpoints and how they fare", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			header := []string{"ID", "STATE", "URL", "EVENTS", "PENDING", "FAILED", "SUCCEEDED", "LAST ERROR"}
			return show(c, d, endpointsPath(c), nil, header, func(e tidings.Endpoint) []string {
				return []string{e.ID.String(), strings.TrimSpace(string(e.State) + " " + string(e.Reason)), e.URL, tidings.Names(e.Events), strconv.Itoa(e.Health.Pending),
					strconv.Itoa(e.Health.Failed), shownTime(e.Health.SucceededAt), e.Health.Error}
			})
		},
	}
	do := func(use, short, method, path, done string) *cobra.Command {
		return &cobra.Command{Use: use + " ID", Short: short, Args: arguments("ID"), RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, method, endpointPath(c, args[0])+path, nil, "endpoint "+args[0]+" "+done)
		}}
	}
	cs := []*cobra.Command{ls, d.newEndpointCreate(), d.newEndpointPut(),
		do("rm", "Remove an endpoint; what waits for it is not sent", http.MethodDelete, "", "removed"),
		do("enable", "Tell a disabled endpoint again, also of what waits for it", http.MethodPost, "/enable", "is told again"),
		do("disable", "Tell an endpoint nothing more", http.MethodPost, "/disable", "is told nothing more"),
		do("test", "Send an endpoint a test event", http.MethodPost, "/test", "gets a test event; see: tidings endpoint events"),
		d.newEndpointRotate(), d.newEndpointReplay(), d.newEndpointEvents()}
	for i, c := range cs {
		c.Flags().String("app", "", "the application")
		_ = c.MarkFlagRequired("app") // it was defined just now
		cs[i] = withClient(c)
	}
	return newGroup("endpoint", "Endpoints of an application: who is told, by webhooks, what becomes of its deliveries", cs...)
}

func endpointsPath(c *cobra.Command) string {
	app, _ := c.Flags().GetString("app")
	return "/v1/applications/" + url.PathEscape(app) + "/endpoints"
}

func endpointPath(c *cobra.Command, id string) string {
	return endpointsPath(c) + "/" + url.PathEscape(id)
}

// endpointFlags is what the command line says about an endpoint.
func endpointFlags(c *cobra.Command, in map[string]any) *cobra.Command {
	var name, target string
	var events []string
	f := c.Flags()
	f.StringVar(&target, "to", "", "the https URL that is called")
	f.StringVar(&name, "name", "", "what people call it")
	f.StringSliceVar(&events, "event", nil, "what it is told of: "+tidings.Names(tidings.EventTypes)+" (repeatable; default all)")
	c.PreRun = func(*cobra.Command, []string) {
		in["url"], in["name"], in["events"] = target, name, events
		if len(events) == 0 {
			in["events"] = tidings.EventTypes
		}
	}
	return c
}

// shownEndpoint is an answer with the secret.
type shownEndpoint struct {
	tidings.Endpoint
	Secret string `json:"secret"`
}

// shown makes a request that is answered with a secret, and prints the secret alone on its line.
func (d *deps) shown(c *cobra.Command, path string, in any, said string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var made shownEndpoint
	if err := api.call(c.Context(), http.MethodPost, path, in, &made); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(made)
	}
	p.line("%s\t%s", made.ID, plain(made.Secret))
	fmt.Fprintln(d.errout, said)
	return nil
}

func (d *deps) newEndpointCreate() *cobra.Command {
	in := map[string]any{}
	return endpointFlags(&cobra.Command{
		Use: "create", Short: "Make an endpoint; its secret is shown once", Args: noArgument,
		Example: "  tidings endpoint create --app orders --to https://orders.example/tidings --event delivery.failed --event notification.read",
		RunE: func(c *cobra.Command, _ []string) error {
			return d.shown(c, endpointsPath(c), in, "This is the only time that the secret is shown. With it the receiver checks the signatures.")
		},
	}, in)
}

func (d *deps) newEndpointPut() *cobra.Command {
	in := map[string]any{}
	return endpointFlags(&cobra.Command{
		Use: "put ID", Short: "Change an endpoint's URL, name and events; the secret stays", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPut, endpointPath(c, args[0]), in, "endpoint "+args[0]+" is set")
		},
	}, in)
}

func (d *deps) newEndpointRotate() *cobra.Command {
	return &cobra.Command{
		Use: "rotate ID", Short: "Give an endpoint a new secret; the old one signs beside it for a day", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.shown(c, endpointPath(c, args[0])+"/rotate", nil, "This is the only time that the secret is shown. For a day the old one signs as well.")
		},
	}
}

func (d *deps) newEndpointReplay() *cobra.Command {
	var since, until, state string
	c := &cobra.Command{
		Use: "replay ID", Short: "Tell an endpoint again, under the same webhook ids", Args: arguments("ID"),
		Example: "  tidings endpoint replay 00fvv4a2m8000 --app orders --since 6h\n  tidings endpoint replay 00fvv4a2m8000 --app orders --since 2026-11-20T00:00:00Z --state failed",
		RunE: func(c *cobra.Command, args []string) error {
			in := map[string]string{}
			for name, text := range map[string]string{"since": since, "until": until} {
				at, err := moment(text)
				if err != nil {
					return &usageError{c.CommandPath(), fmt.Errorf("--%s: %w", name, err)}
				}
				if at != "" {
					in[name] = at
				}
			}
			if state != "" {
				in["state"] = state
			}
			api, err := d.adminClient(c)
			if err != nil {
				return err
			}
			var answer struct {
				Events int `json:"events"`
			}
			if err := api.call(c.Context(), http.MethodPost, endpointPath(c, args[0])+"/replay", in, &answer); err != nil {
				return err
			}
			p := d.printer(c)
			if p.json {
				return p.value(answer)
			}
			p.line("%d events are sent again", answer.Events)
			return nil
		},
	}
	c.Flags().StringVar(&since, "since", "", "from when on: a time, or how long ago (6h)")
	c.Flags().StringVar(&until, "until", "", "until when, likewise (default now)")
	c.Flags().StringVar(&state, "state", "", "delivered or failed (default both)")
	_ = c.MarkFlagRequired("since") // it was defined just now
	return c
}

// moment reads a time, or how long ago it is, and writes it as the API reads it.
func moment(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago).UTC().Format(time.RFC3339), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", fmt.Errorf("%q is no time such as 2026-01-02T15:04:05Z and no duration such as 6h", text)
	}
	return at.Format(time.RFC3339), nil
}

func (d *deps) newEndpointEvents() *cobra.Command {
	var state string
	var limit int
	c := &cobra.Command{
		Use: "events ID", Short: "List what an endpoint was told of and is to be told of, the newest first", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := d.adminClient(c)
			if err != nil {
				return err
			}
			query := url.Values{}
			if state != "" {
				query.Set("state", state)
			}
			found, err := list[tidings.Event](c.Context(), api, endpointPath(c, args[0])+"/events", query, "before", limit)
			if err != nil {
				return err
			}
			p := d.printer(c)
			if p.json {
				return p.value(found)
			}
			rows := make([][]string, len(found))
			for i, e := range found {
				message := ""
				if e.Message != 0 {
					message = e.Message.String()
				}
				rows[i] = []string{shownTime(e.At), e.Webhook, string(e.Type), message, e.User, string(e.Channel), string(e.State), strconv.Itoa(e.Calls), shownTime(e.DueAt), e.Error}
			}
			return p.table([]string{"AT", "WEBHOOK", "EVENT", "MESSAGE", "USER", "CHANNEL", "STATE", "CALLS", "NEXT", "LAST ERROR"}, rows)
		},
	}
	c.Flags().StringVar(&state, "state", "", "pending, delivered or failed (default all)")
	c.Flags().IntVar(&limit, "limit", 50, "how many")
	return c
}

package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
)

// appFlags is what the command line says about an application.
type appFlags struct {
	name, owner, purpose string
	channels, origins    []string
	volume               int
}

func (f *appFlags) on(c *cobra.Command) *cobra.Command {
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "what people call it")
	flags.StringVar(&f.owner, "owner", "", "who answers for it")
	flags.StringVar(&f.purpose, "purpose", "", "what it sends, and to whom")
	flags.StringSliceVar(&f.channels, "channel", nil, "a channel that it wants: "+tidings.Names(tidings.Channels)+" (repeatable)")
	flags.IntVar(&f.volume, "volume", 0, "messages a day that it expects to send")
	flags.StringSliceVar(&f.origins, "origin", nil, "a site whose pages may connect with its tokens (repeatable)")
	return withClient(c)
}

func (f *appFlags) body(id string) map[string]any {
	return map[string]any{"id": id, "name": or(f.name, id), "owner": f.owner, "purpose": f.purpose, "channels": f.channels, "volume": f.volume, "origins": f.origins}
}

func newApp(d *deps) *cobra.Command {
	f := &appFlags{}
	create := &cobra.Command{
		Use: "create ID", Short: "Make an application that may send at once (admins)", Args: arguments("ID"),
		Example: "  tidings app create orders --name 'Order service' --owner orders@example.com --origin https://shop.example.com",
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPost, "/v1/applications", f.body(args[0]), "application "+args[0]+" may send; give it a key: tidings key create --app "+args[0])
		},
	}
	apply := &cobra.Command{
		Use: "apply ID", Short: "Apply for an application; somebody else approves it", Args: arguments("ID"),
		Example: "  tidings app apply coupons --purpose 'tell stores of coupons' --channel web --volume 2000",
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPost, "/v1/applications:apply", f.body(args[0]), "application "+args[0]+" is applied for; an approver decides: tidings app approve "+args[0])
		},
	}
	edit := f.on(&cobra.Command{
		Use: "edit ID", Short: "Change what is named of an application (admins)", Args: arguments("ID"),
		Example: "  tidings app edit coupons --channel web --channel sms",
		RunE:    func(c *cobra.Command, args []string) error { return d.editApp(c, f, args[0]) },
	})
	ls := &cobra.Command{
		Use: "ls", Short: "List the applications", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, d, "/v1/applications", nil, []string{"ID", "NAME", "OWNER", "STATE", "PURPOSE", "ORIGINS"}, func(a tidings.Application) []string {
				return []string{a.ID, a.Name, a.Owner, string(a.State), a.Purpose, strings.Join(a.Origins, " ")}
			})
		},
	}
	return newGroup("app", "Applications: the internal teams that send", f.on(create), f.on(apply), edit, withClient(ls),
		d.newDecision("approve", "Let an application send that was applied for", "may send"),
		d.newDecision("reject", "Turn an application down; --comment says why", "rejected"),
		d.newState("suspend", "Stop an application: it may not send, what is under way is held", "suspended"),
		d.newState("resume", "Let a suspended application send again", "may send again"))
}

// editApp reads an application, and writes it back with what the command line names.
func (d *deps) editApp(c *cobra.Command, f *appFlags, id string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	path := "/v1/applications/" + url.PathEscape(id)
	var now tidings.Application
	if err := api.call(c.Context(), http.MethodGet, path, nil, &now); err != nil {
		return err
	}
	body := map[string]any{"name": now.Name, "owner": now.Owner, "purpose": now.Purpose, "channels": now.Channels, "volume": now.Volume, "origins": now.Origins}
	for flag, field := range map[string]string{"name": "name", "owner": "owner", "purpose": "purpose", "channel": "channels", "volume": "volume", "origin": "origins"} {
		if c.Flags().Changed(flag) {
			body[field] = f.body(id)[field]
		}
	}
	return d.put(c, http.MethodPut, path, body, "application "+id+" is changed")
}

// newState makes the command that suspends or resumes an application.
func (d *deps) newState(verb, short, done string) *cobra.Command {
	return withClient(&cobra.Command{
		Use: verb + " ID", Short: short, Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPost, "/v1/applications/"+url.PathEscape(args[0])+"/"+verb, nil, "application "+args[0]+": "+done)
		},
	})
}

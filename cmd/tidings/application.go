package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
)

func newApp(d *deps) *cobra.Command {
	var name, owner string
	var origins []string
	create := &cobra.Command{
		Use: "create ID", Aliases: []string{"apply"}, Short: "Make an application that may send", Args: arguments("ID"),
		Example: "  tidings app create orders --name 'Order service' --owner orders@example.com --origin https://shop.example.com",
		RunE: func(c *cobra.Command, args []string) error {
			a := map[string]any{"id": args[0], "name": or(name, args[0]), "owner": owner, "origins": origins}
			return d.put(c, http.MethodPost, "/v1/applications", a, "application "+args[0]+" may send; give it a key: tidings key create --app "+args[0])
		},
	}
	create.Flags().StringVar(&name, "name", "", "what people call it")
	create.Flags().StringVar(&owner, "owner", "", "who answers for it")
	create.Flags().StringSliceVar(&origins, "origin", nil, "a site whose pages may connect with its tokens (repeatable)")
	ls := &cobra.Command{
		Use: "ls", Short: "List the applications", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, d, "/v1/applications", nil, []string{"ID", "NAME", "OWNER", "STATE", "ORIGINS"}, func(a tidings.Application) []string {
				return []string{a.ID, a.Name, a.Owner, string(a.State), strings.Join(a.Origins, " ")}
			})
		},
	}
	return newGroup("app", "Applications: the internal teams that send", withClient(create), withClient(ls),
		d.newState("suspend", "Stop an application: it may not send, what is under way is held", "suspended"),
		d.newState("resume", "Let a suspended application send again", "may send again"))
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

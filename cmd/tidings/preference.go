package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"tidings"
)

func newPreferences(d *deps) *cobra.Command {
	return newGroup("preferences", "Preferences: what a user wants to be sent, and when",
		d.newPreferencesList(), d.newMute("mute", "Mute a message type, an application, or everything", true),
		d.newMute("unmute", "Let a message type, an application, or everything through again", false), d.newQuiet())
}

// preferences is what the API answers.
type preferences struct {
	tidings.Preferences
	Types []tidings.PreferenceType `json:"types,omitempty"`
}

// preferring is a call about a user's preferences: by whoever may write the directory, or by the user himself.
func (d *deps) preferring(c *cobra.Command) (api *client, path string, err error) {
	if user, _ := c.Flags().GetString("user"); user != "" {
		api, err = d.adminClient(c)
		return api, "/v1/users/" + url.PathEscape(user) + "/preferences", err
	}
	api, err = d.userClient(c, "")
	return api, "/v1/preferences", err
}

func ofUser(c *cobra.Command) *cobra.Command {
	c.Flags().String("user", "", "this user's, by a key that writes the directory; else those of the user in TIDINGS_TOKEN")
	return withClient(c)
}

func (d *deps) newPreferencesList() *cobra.Command {
	return ofUser(&cobra.Command{
		Use: "ls", Short: "Show what a user wants to be sent", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			api, path, err := d.preferring(c)
			if err != nil {
				return err
			}
			var p preferences
			if err := api.call(c.Context(), http.MethodGet, path, nil, &p); err != nil {
				return err
			}
			return printPreferences(d.printer(c), p)
		},
	})
}

func printPreferences(p *printer, of preferences) error {
	if p.json {
		return p.value(of)
	}
	var rows [][]string
	for _, t := range of.Types {
		for _, c := range t.Channels {
			state := "on"
			if slices.Contains(t.Mandatory, c) {
				state = "always on"
			} else if slices.Contains(t.Muted, c) {
				state = "muted"
			}
			rows = append(rows, []string{t.Application, t.Type, string(c), state, t.Title})
		}
	}
	if err := p.table([]string{"APPLICATION", "TYPE", "CHANNEL", "", "TITLE"}, rows); err != nil {
		return err
	}
	for _, r := range of.Rules {
		what := map[bool]string{true: "muted", false: "on"}[r.Muted]
		p.line("rule: %s %s on %s: %s", plain(or(r.Application, "all applications")), plain(or(r.Type, "all types")), or(string(r.Channel), "all channels"), what)
	}
	if q := of.Quiet; q != nil {
		p.line("quiet from %s to %s %s on %s", plain(q.From), plain(q.To), plain(q.Timezone), joined(q.Channels))
	}
	return nil
}

// changePreferences sends back the preferences as change leaves them.
func (d *deps) changePreferences(c *cobra.Command, change func(*tidings.Preferences)) error {
	api, path, err := d.preferring(c)
	if err != nil {
		return err
	}
	var p preferences
	if err := api.call(c.Context(), http.MethodGet, path, nil, &p); err != nil {
		return err
	}
	change(&p.Preferences)
	if err := api.call(c.Context(), http.MethodPut, path, p.Preferences, &p); err != nil {
		return err
	}
	return printPreferences(d.printer(c), p)
}

func (d *deps) newMute(use, short string, muted bool) *cobra.Command {
	var r tidings.Preference
	c := &cobra.Command{
		Use: use, Short: short, Args: noArgument,
		Example: "  tidings preferences " + use + " --app orders --type order.paid --channel sms\n  tidings preferences " + use + " --app coupons",
		RunE: func(c *cobra.Command, _ []string) error {
			if r.Type != "" && r.Application == "" {
				return &usageError{c.CommandPath(), errors.New("--type belongs to an application: name it with --app")}
			}
			r.Muted = muted
			return d.changePreferences(c, func(p *tidings.Preferences) {
				p.Rules = append(slices.DeleteFunc(p.Rules, func(o tidings.Preference) bool {
					return o.Application == r.Application && o.Type == r.Type && o.Channel == r.Channel
				}), r)
			})
		},
	}
	c.Flags().StringVar(&r.Application, "app", "", "of this application (default: all)")
	c.Flags().StringVar(&r.Type, "type", "", "this message type (default: all)")
	c.Flags().StringVar((*string)(&r.Channel), "channel", "", "on this channel (default: all)")
	return ofUser(c)
}

func (d *deps) newQuiet() *cobra.Command {
	q := tidings.QuietHours{}
	var channels []string
	c := &cobra.Command{
		Use: "quiet FROM TO | quiet off", Short: "Set the user's own quiet hours",
		Example: "  tidings preferences quiet 22:00 08:00 --timezone Asia/Shanghai --channel sms --channel app",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 || len(args) == 1 && args[0] == "off" {
				return nil
			}
			return fmt.Errorf("from when to when? 22:00 08:00, or off")
		},
		RunE: func(c *cobra.Command, args []string) error {
			return d.changePreferences(c, func(p *tidings.Preferences) {
				if p.Quiet = nil; len(args) == 2 {
					q.From, q.To = args[0], args[1]
					for _, name := range channels {
						q.Channels = append(q.Channels, tidings.Channel(name))
					}
					p.Quiet = &q
				}
			})
		},
	}
	c.Flags().StringVar(&q.Timezone, "timezone", tidings.DefaultTimezone, "whose clock")
	c.Flags().StringSliceVar(&channels, "channel", []string{string(tidings.App), string(tidings.SMS)}, "on which channels (repeatable)")
	return ofUser(c)
}

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
)

func newAccount(d *deps) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "List the accounts", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			header := []string{"ID", "NAME", "ROLE", "APPLICATION", "STATE", "SIGNED IN"}
			return show(c, d, "/v1/accounts", nil, header, func(a tidings.Account) []string {
				return []string{a.ID, a.Name, string(a.Role), a.Application, string(a.State), shownTime(a.SignedInAt)}
			})
		},
	}
	return newGroup("account", "Accounts: the people who set up and watch", d.newAccountWrite(true), d.newAccountWrite(false), withClient(ls), d.newPassword())
}

// accountFlags is what the command line says about an account.
type accountFlags struct {
	name, role, app, locale, password string
	disable, enable                   bool
}

// newAccountWrite makes 'account create' or 'account set'.
func (d *deps) newAccountWrite(create bool) *cobra.Command {
	f := &accountFlags{}
	c := &cobra.Command{
		Use: "set ID", Short: "Change an account; another role, state or password ends its sessions", Args: arguments("ID"),
		Example: "  tidings account set li --role operator\n  tidings account set li --disable",
	}
	if create {
		c.Use, c.Short = "create ID", "Make an account; give it a password for the console, or a key: tidings key create --account ID"
		c.Example = "  tidings account create wang --role approver --password @password.txt\n  tidings account create li --role developer --app orders"
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		in, err := f.body(c)
		if err != nil {
			return err
		}
		if create {
			in["id"] = args[0]
			return d.put(c, http.MethodPost, "/v1/accounts", in, "account "+args[0]+" is made; give it a key: tidings key create --account "+args[0])
		}
		return d.put(c, http.MethodPut, "/v1/accounts/"+url.PathEscape(args[0]), in, "account "+args[0]+" is changed")
	}
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "what people call him")
	flags.StringVar(&f.role, "role", "", "admin, operator, approver, developer or viewer")
	flags.StringVar(&f.app, "app", "", "the application that a developer or viewer belongs to")
	flags.StringVar(&f.locale, "locale", "", "of the console: zh or en")
	flags.StringVar(&f.password, "password", "", "for the console, 12 characters or more: @FILE, or - for standard input")
	if create {
		_ = c.MarkFlagRequired("role") // fails only for a flag that does not exist
	} else {
		flags.BoolVar(&f.disable, "disable", false, "let him in no more")
		flags.BoolVar(&f.enable, "enable", false, "let him in again")
		c.MarkFlagsMutuallyExclusive("disable", "enable")
	}
	return withClient(c)
}

func (f *accountFlags) body(c *cobra.Command) (map[string]any, error) {
	in := map[string]any{}
	for flag, field := range map[string]string{"name": f.name, "role": f.role, "locale": f.locale} {
		if c.Flags().Changed(flag) {
			in[flag] = field
		}
	}
	if c.Flags().Changed("app") {
		in["application"] = f.app
	}
	if f.disable {
		in["state"] = tidings.AccountDisabled
	}
	if f.enable {
		in["state"] = tidings.AccountActive
	}
	if f.password != "" {
		password, err := readPassword(c, f.password)
		if err != nil {
			return nil, err
		}
		in["password"] = password
	}
	return in, nil
}

// readPassword reads @FILE or -: a password on the command line would stand in the shell's history.
func readPassword(c *cobra.Command, argument string) (string, error) {
	if !strings.HasPrefix(argument, "@") && argument != "-" {
		return "", &usageError{c.CommandPath(), fmt.Errorf("--password takes @FILE or -, so that it does not stand in the shell's history")}
	}
	b, err := readArgument(argument, c.InOrStdin())
	return strings.TrimRight(string(b), "\r\n"), err
}

func (d *deps) newPassword() *cobra.Command {
	var old, password string
	c := &cobra.Command{
		Use: "password", Short: "Change the password of your own account", Args: noArgument,
		Example: "  tidings account password --old @old.txt --new @new.txt",
		RunE: func(c *cobra.Command, _ []string) error {
			before, err := readPassword(c, old)
			if err != nil {
				return err
			}
			next, err := readPassword(c, password)
			if err != nil {
				return err
			}
			return d.put(c, http.MethodPut, "/v1/account", map[string]any{"old_password": before, "password": next}, "the password is changed, and your sessions have ended")
		},
	}
	c.Flags().StringVar(&old, "old", "", "the one until now: @FILE or -")
	c.Flags().StringVar(&password, "new", "", "the one from now on: @FILE or -")
	_ = c.MarkFlagRequired("old") // these fail only for a flag that does not exist
	_ = c.MarkFlagRequired("new")
	return withClient(c)
}

package main

import (
	"errors"
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

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func newKey(d *deps) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "List keys: of an application with --app, else of merchants and admins", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			header := []string{"ID", "KIND", "OF", "NAME", "MAY", "ENDS IN", "MADE", "USED", "EXPIRES", "REVOKED"}
			return show(c, d, keysPath(c), nil, header, keyRow)
		},
	}
	revoke := &cobra.Command{
		Use: "revoke ID", Short: "End a key; it is refused everywhere within 5 seconds", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodDelete, keysPath(c)+"/"+url.PathEscape(args[0]), nil, "key "+args[0]+" is revoked")
		},
	}
	for _, c := range []*cobra.Command{ls, revoke} {
		c.Flags().String("app", "", "of this application")
	}
	return newGroup("key", "Keys of applications, merchants' systems and admins", newKeyCreate(d), withClient(ls), withClient(revoke))
}

func keysPath(c *cobra.Command) string {
	if app, _ := c.Flags().GetString("app"); app != "" {
		return "/v1/applications/" + url.PathEscape(app) + "/keys"
	}
	return "/v1/keys"
}

func keyRow(k tidings.Key) []string {
	of := k.Application + k.Dimension + string(k.Role) + k.Account
	return []string{k.ID, string(k.Kind), of, k.Name, strings.Join(slices.Concat(k.Scopes, k.Types, strings.Fields(joined(k.Channels))), " "), "…" + k.Last4, shownTime(k.CreatedAt), shownTime(k.LastUsed), shownTime(k.ExpiresAt), shownTime(k.RevokedAt)}
}

// keyFlags is what the command line says about a key.
type keyFlags struct {
	app, merchant, store, role, account, name string
	scopes, types, channels                   []string
	expireIn                                  time.Duration
}

func newKeyCreate(d *deps) *cobra.Command {
	f := &keyFlags{}
	c := &cobra.Command{
		Use: "create", Short: "Make a key; it is shown once", Args: noArgument,
		Example: `  tidings key create --app orders
  tidings key create --app crm --scope directory:write --scope tokens:mint
  tidings key create --merchant acme --scope history:read
  tidings key create --account wang
  tidings key create --app orders --scope messages:send --type order.paid --channel web
  tidings key create --role operator --name 'night shift'`,
		RunE: func(c *cobra.Command, _ []string) error { return f.create(c, d) },
	}
	flags := c.Flags()
	flags.StringVar(&f.app, "app", "", "for this application")
	flags.StringVar(&f.merchant, "merchant", "", "for this merchant's own systems")
	flags.StringVar(&f.store, "store", "", "for this store's own systems")
	flags.StringVar(&f.role, "role", "", "for an admin or operator without an account")
	flags.StringVar(&f.account, "account", "", "for this account; me: your own")
	flags.StringSliceVar(&f.types, "type", nil, "a message type that an application's key is narrowed to (repeatable)")
	flags.StringSliceVar(&f.channels, "channel", nil, "a channel that an application's key is narrowed to (repeatable)")
	flags.StringVar(&f.name, "name", "", "what it is for")
	flags.StringSliceVar(&f.scopes, "scope", nil, "what it may do (repeatable); default of an application: send, read, write templates; of a merchant: history:read")
	flags.DurationVar(&f.expireIn, "expire-in", 0, "when it ends; by default never")
	c.MarkFlagsMutuallyExclusive("app", "merchant", "store", "role", "account")
	c.MarkFlagsOneRequired("app", "merchant", "store", "role", "account")
	return withClient(c)
}

// body is the path and body of the request that makes the key.
func (f *keyFlags) body() (path string, in map[string]any, err error) {
	scopes := f.scopes
	in = map[string]any{"name": f.name}
	path = "/v1/keys"
	switch {
	case f.app != "":
		path = "/v1/applications/" + url.PathEscape(f.app) + "/keys"
		if scopes == nil {
			scopes = []string{tidings.ScopeSend, tidings.ScopeReadMessages, tidings.ScopeTemplates}
		}
		if f.types != nil {
			in["types"] = f.types
		}
		if f.channels != nil {
			in["channels"] = f.channels
		}
	case f.account == "me":
		path = "/v1/account/keys"
	case f.account != "":
		in["kind"], in["account"] = tidings.AdminKey, f.account
	case f.role != "":
		in["kind"], in["role"] = tidings.AdminKey, f.role
		if scopes != nil {
			return "", nil, errors.New("an admin's key has a --role and no --scope")
		}
	default:
		in["kind"] = tidings.MerchantKey
		if f.merchant != "" {
			in["merchant"] = f.merchant
		} else {
			in["store"] = f.store
		}
		if scopes == nil {
			scopes = []string{tidings.ScopeHistoryRead}
		}
	}
	if scopes != nil {
		in["scopes"] = scopes
	}
	if f.expireIn > 0 {
		in["expires_at"] = time.Now().Add(f.expireIn).UTC().Format(time.RFC3339)
	}
	return path, in, nil
}

func (f *keyFlags) create(c *cobra.Command, d *deps) error {
	path, in, err := f.body()
	if err != nil {
		return &usageError{c.CommandPath(), err}
	}
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var made struct {
		tidings.Key
		Whole string `json:"key"`
	}
	if err := api.call(c.Context(), http.MethodPost, path, in, &made); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(made)
	}
	p.line("%s", plain(made.Whole))
	fmt.Fprintln(d.errout, "This is the only time that the key is shown. Revoke it with: tidings key revoke", made.ID, optional("--app ", f.app))
	return nil
}

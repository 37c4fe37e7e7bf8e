package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

func newMerchant(d *deps) *cobra.Command {
	m := tidings.Merchant{}
	put := &cobra.Command{
		Use: "put ID", Short: "Make or change a merchant", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			in := map[string]any{"name": or(m.Name, args[0]), "attributes": m.Attributes}
			return d.put(c, http.MethodPut, "/v1/merchants/"+url.PathEscape(args[0]), in, "merchant "+args[0]+" is in the directory")
		},
	}
	put.Flags().StringVar(&m.Name, "name", "", "what people call it")
	put.Flags().StringToStringVar(&m.Attributes, "attribute", nil, "KEY=VALUE (repeatable)")
	ls := &cobra.Command{
		Use: "ls", Short: "List the merchants", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, d, "/v1/merchants", nil, []string{"ID", "NAME", "ATTRIBUTES"}, func(m tidings.Merchant) []string {
				return []string{m.ID, m.Name, attributes(m.Attributes)}
			})
		},
	}
	return newGroup("merchant", "Merchants: the enterprise accounts", withClient(put), withClient(ls), d.newRemove("merchant", "/v1/merchants/"))
}

func newStore(d *deps) *cobra.Command {
	s := tidings.Store{}
	var hours string
	put := &cobra.Command{
		Use: "put ID", Short: "Make or change a store of a merchant", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			parsed, err := tidings.ParseHours(hours)
			if err != nil {
				return &usageError{c.CommandPath(), fmt.Errorf("--hours: %w", err)}
			}
			s.ID, s.Name, s.Hours = args[0], or(s.Name, args[0]), parsed
			in := s
			return d.put(c, http.MethodPut, "/v1/stores/"+url.PathEscape(args[0]), in, "store "+args[0]+" is in the directory")
		},
	}
	put.Flags().StringVar(&s.Merchant, "merchant", "", "whose store it is")
	put.Flags().StringVar(&s.Name, "name", "", "what people call it")
	put.Flags().StringVar(&s.Region, "region", "", "where it is")
	put.Flags().StringVar(&s.Timezone, "timezone", "", "IANA name (default Asia/Shanghai)")
	put.Flags().StringVar(&hours, "hours", "", "opening hours: 'mon-fri 09:00-12:00 13:00-18:00; sat 10:00-14:00'")
	put.Flags().StringSliceVar(&s.Holidays, "holiday", nil, "a day on which it is closed: 2026-10-01 (repeatable)")
	put.Flags().StringToStringVar(&s.Attributes, "attribute", nil, "KEY=VALUE (repeatable)")
	_ = put.MarkFlagRequired("merchant") // fails only for a flag that does not exist
	ls := &cobra.Command{
		Use: "ls", Short: "List the stores", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			if merchant, _ := c.Flags().GetString("merchant"); merchant != "" {
				q.Set("merchant", merchant)
			}
			return show(c, d, "/v1/stores", q, []string{"ID", "MERCHANT", "NAME", "REGION", "OPEN", "HOURS", "ATTRIBUTES"}, func(s tidings.Store) []string {
				return []string{s.ID, s.Merchant, s.Name, s.Region, openNow(s), s.Hours.String(), attributes(s.Attributes)}
			})
		},
	}
	ls.Flags().String("merchant", "", "only of this merchant")
	return newGroup("store", "Stores of merchants", withClient(put), withClient(ls), d.newRemove("store", "/v1/stores/"))
}

// openNow says whether a store is open; nothing where its hours are not known.
func openNow(s tidings.Store) string {
	open, known := s.Open(time.Now())
	switch {
	case !known:
		return ""
	case open:
		return "open"
	}
	return "closed"
}

func newUser(d *deps) *cobra.Command {
	return newGroup("user", "Users: the people who work for merchants and stores",
		newUserPut(d), newUserList(d), newUserAddress(d), d.newRemove("user", "/v1/users/"))
}

func newUserPut(d *deps) *cobra.Command {
	u := tidings.User{}
	var members []string
	c := &cobra.Command{
		Use: "put ID", Short: "Make or change a user, with all memberships", Args: arguments("ID"),
		Example: "  tidings user put u-lin --name '林' --member m:acme:owner --member s:acme-1:manager",
		RunE: func(c *cobra.Command, args []string) error {
			memberships, err := tidings.ParseMemberships(members)
			if err != nil {
				return &usageError{c.CommandPath(), fmt.Errorf("--member %w", err)}
			}
			in := map[string]any{"name": or(u.Name, args[0]), "locale": u.Locale, "memberships": memberships}
			return d.put(c, http.MethodPut, "/v1/users/"+url.PathEscape(args[0]), in, "user "+args[0]+" is in the directory")
		},
	}
	c.Flags().StringVar(&u.Name, "name", "", "what people call him or her")
	c.Flags().StringVar(&u.Locale, "locale", "", "language (default "+tidings.DefaultLocale+")")
	c.Flags().StringArrayVar(&members, "member", nil, "a membership: m:MERCHANT:ROLE or s:STORE:ROLE (repeatable; replaces those there were)")
	return withClient(c)
}

func newUserList(d *deps) *cobra.Command {
	return withClient(&cobra.Command{
		Use: "ls", Short: "List the users", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, d, "/v1/users", nil, []string{"ID", "NAME", "LOCALE", "MEMBERSHIPS"}, func(u tidings.User) []string {
				parts := make([]string, len(u.Memberships))
				for i, m := range u.Memberships {
					parts[i] = m.Dimension() + ":" + m.Role
				}
				return []string{u.ID, u.Name, u.Locale, strings.Join(parts, " ")}
			})
		},
	})
}

func newUserAddress(d *deps) *cobra.Command {
	values := map[string]*string{}
	c := &cobra.Command{
		Use: "address ID", Short: "Set a user's addresses; those there were are replaced, and none is ever shown again", Args: arguments("ID"),
		Example: "  tidings user address u-lin --sms +8613800138000 --app 3456789012345678901 --platform android",
		RunE: func(c *cobra.Command, args []string) error {
			given := map[string]string{}
			for name, value := range values {
				given[name] = *value
			}
			addresses := tidings.UserAddresses(given)
			in := map[string]any{"addresses": addresses}
			return d.put(c, http.MethodPut, "/v1/users/"+url.PathEscape(args[0])+"/addresses", in, fmt.Sprintf("user %s has %d addresses", args[0], len(addresses)))
		},
	}
	for name, help := range map[string]string{
		"sms": "phone number, with + and the country's code", "app": "the push provider's id of the device, or a browser's subscription",
		"provider": "of the app: baidu (the default), fcm, apns, jpush, huawei, webpush", "platform": "of the app: android, ios or harmony",
		"email": "mail address", "webhook": "https URL of the merchant's system, # and its secret: https://shop.example/hook#whsec_...",
		"bot": "a group's robot: dingtalk, wecom or feishu, a colon and its URL or token, # and its secret if it signs",
	} {
		values[name] = c.Flags().String(name, "", help)
	}
	return withClient(c)
}

func attributes(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range sortedKeys(m) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, " ")
}

package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func newConfig(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Print every setting, its value, its default and the reason for it", Args: noArgument,
		Long: "Print every setting, its value, its default and the reason for it. Secrets are masked.",
		RunE: func(c *cobra.Command, _ []string) error {
			_, values, err := load(c, d.getenv)
			if err != nil {
				return err
			}
			p := d.printer(c)
			if p.json {
				return p.value(settingsShown(values))
			}
			rows := make([][]string, 0, len(values))
			for _, s := range settingsShown(values) {
				rows = append(rows, []string{s.Name, s.Value, s.Source, s.Default, s.Reason})
			}
			return p.table([]string{"SETTING", "VALUE", "FROM", "DEFAULT", "REASON"}, rows)
		},
	}
	return withOutput(withSettings(c, forStores, forDoors, forWorkers, forClients, forLogs))
}

// settingShown is a setting as 'tidings config' prints it.
type settingShown struct {
	Name    string `json:"name"`
	Env     string `json:"env"`
	Value   string `json:"value"`
	Source  string `json:"source"`
	Default string `json:"default"`
	Reason  string `json:"reason"`
}

func settingsShown(values []value) []settingShown {
	shown := make([]settingShown, len(values))
	for i, v := range values {
		text := v.text
		if v.secret {
			text = mask(v.name, text)
		}
		shown[i] = settingShown{v.name, v.env(), text, v.source, v.fallback, v.reason}
	}
	return shown
}

// mask hides a secret but not whether it is set.
func mask(name, s string) string {
	if s == "" {
		return ""
	}
	if u, err := url.Parse(s); err == nil && strings.HasSuffix(name, "-url") {
		return maskURL(u)
	}
	return "********"
}

// maskURL hides the password of a URL, also one given as a parameter, as libpq allows.
func maskURL(u *url.URL) string {
	q := u.Query()
	for _, name := range []string{"password", "sslpassword", "sentinel_password"} {
		if q.Has(name) {
			q.Set(name, "xxxxx")
			u.RawQuery = q.Encode()
		}
	}
	return u.Redacted()
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
)

func newQuota(d *deps) *cobra.Command {
	return newGroup("quota", "Quotas: how much applications may send", d.newQuotaSet(), d.newQuotaGet(), d.newQuotaUsage())
}

func (d *deps) newQuotaSet() *cobra.Command {
	var q tidings.Quota
	var daily, caps []string
	c := &cobra.Command{
		Use: "set APP", Short: "Set an application's quota; what is not named has no limit", Args: arguments("APP"),
		Example: "  tidings quota set orders --rate 50 --burst 200 --daily sms=5000 --daily app=100000 --sms-budget 60000",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Daily, err = readDaily(daily); err != nil {
				return &usageError{c.CommandPath(), err}
			}
			if q.Caps, err = readCaps(caps); err != nil {
				return &usageError{c.CommandPath(), err}
			}
			q.Application = args[0]
			return d.put(c, http.MethodPut, "/v1/quotas/"+url.PathEscape(args[0]), q, "quota of "+args[0]+" set, within 2 s everywhere")
		},
	}
	flags := c.Flags()
	flags.Float64Var(&q.Rate, "rate", 0, "messages a second, in each api process")
	flags.IntVar(&q.Burst, "burst", 0, "messages at once (default: one second's)")
	flags.StringSliceVar(&daily, "daily", nil, "deliveries a day on a channel: sms=5000 (repeatable)")
	flags.IntVar(&q.SMSBudget, "sms-budget", 0, "SMS parts a calendar month")
	flags.StringSliceVar(&caps, "cap", nil, "deliveries of all its types to one user: sms=3/24h (repeatable)")
	flags.StringVar(&q.Timezone, "timezone", "", "in which days and months begin (default Asia/Shanghai)")
	return withClient(c)
}

func readCaps(texts []string) (caps []tidings.Cap, err error) {
	for _, text := range texts {
		c, err := tidings.ParseCap(text)
		if err != nil {
			return nil, fmt.Errorf("--cap: %w", err)
		}
		caps = append(caps, c)
	}
	return caps, nil
}

func readDaily(texts []string) (map[tidings.Channel]int, error) {
	daily := map[tidings.Channel]int{}
	for _, text := range texts {
		c, number, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(number)
		if err != nil || !tidings.Channel(c).Valid() {
			return nil, fmt.Errorf("--daily: %q is no channel with a number, like sms=5000", text)
		}
		daily[tidings.Channel(c)] = n
	}
	return daily, nil
}

func (d *deps) newQuotaGet() *cobra.Command {
	return withClient(&cobra.Command{
		Use: "get APP", Short: "Show an application's quota", Args: arguments("APP"),
		RunE: func(c *cobra.Command, args []string) error {
			var q tidings.Quota
			return d.look(c, "/v1/quotas/"+url.PathEscape(args[0]), &q, func(p *printer) error {
				limit := func(n int) string { return or(strings.TrimPrefix(strconv.Itoa(n), "0"), "none") }
				rows := [][]string{{"rate", strconv.FormatFloat(q.Rate, 'f', -1, 64) + " a second"}, {"burst", limit(q.Burst)}}
				if q.Rate == 0 {
					rows = [][]string{{"rate", "none"}}
				}
				for _, ch := range tidings.Channels {
					rows = append(rows, []string{string(ch) + " a day", limit(q.Daily[ch])})
				}
				for _, x := range q.Caps {
					rows = append(rows, []string{string(x.Channel) + " to one user", strconv.Itoa(x.Count) + " in " + x.Window.Duration().String()})
				}
				rows = append(rows, []string{"sms parts a month", limit(q.SMSBudget)}, []string{"timezone", or(q.Timezone, tidings.DefaultTimezone)})
				return p.table([]string{"LIMIT", "OF " + args[0]}, rows)
			})
		},
	})
}

func (d *deps) newQuotaUsage() *cobra.Command {
	var days int
	c := &cobra.Command{
		Use: "usage APP", Short: "Show what an application sent, day by day, and what is left of its quota", Args: arguments("APP"),
		RunE: func(c *cobra.Command, args []string) error {
			var u tidings.Usage
			path := "/v1/applications/" + url.PathEscape(args[0]) + "/usage?days=" + strconv.Itoa(days)
			return d.look(c, path, &u, func(p *printer) error { return printUsage(p, u) })
		},
	}
	c.Flags().IntVar(&days, "days", 8, "how many days, today included (at most 31)")
	return withClient(c)
}

func printUsage(p *printer, u tidings.Usage) error {
	var rows [][]string
	for _, day := range u.Days {
		for _, ch := range tidings.Channels {
			var states []string
			for s, n := range day.Counts[ch] {
				states = append(states, fmt.Sprintf("%s %d", s, n))
			}
			if slices.Sort(states); len(states) > 0 {
				rows = append(rows, []string{day.Day, string(ch), strings.Join(states, ", ")})
			}
		}
	}
	if err := p.table([]string{"DAY", "CHANNEL", "DELIVERIES"}, rows); err != nil {
		return err
	}
	for _, ch := range tidings.Channels {
		if u.Quota != nil && u.Quota.Daily[ch] > 0 {
			p.line("%s today: %d of %d used", ch, u.Used[ch], u.Quota.Daily[ch])
		}
	}
	if b := u.Budget; b.Limit > 0 {
		p.line("SMS parts of %s: %d spent and %d reserved of %d, %d refunded", u.Month, b.Spent, b.Reserved, b.Limit, b.Refunded)
	}
	return nil
}

// look reads what the API has at path into v, and prints it: by itself as JSON, else as shown does.
func (d *deps) look(c *cobra.Command, path string, v any, shown func(*printer) error) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := api.call(c.Context(), http.MethodGet, path, nil, &raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(raw)
	}
	return shown(p)
}

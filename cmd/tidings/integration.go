package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
	"tidings/platform"
)

func newIntegration(d *deps) *cobra.Command {
	ls := &cobra.Command{
		Use: "ls", Short: "List integrations by channel, in their order", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			header := []string{"CHANNEL", "ORDER", "WEIGHT", "ID", "PROVIDER", "STATE", "OF", "RATE", "PARALLEL", "FROM"}
			return show(c, d, "/v1/integrations", nil, header, func(i tidings.Integration) []string {
				from := "table"
				if i.Environment {
					from = "environment"
				}
				return []string{string(i.Channel), strconv.Itoa(i.Order), strconv.Itoa(max(1, i.Weight)), i.ID, i.Provider, string(i.State),
					or(i.Application, "all"), perSecond(i.Rate), strconv.Itoa(cmp.Or(i.Parallel, tidings.DefaultParallel)), from}
			})
		},
	}
	health := &cobra.Command{
		Use: "health", Short: "Show how integrations fared in the last minutes", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			header := []string{"CHANNEL", "ID", "STATE", "BREAKER", "CALLS/MIN", "ACCEPTED", "REFUSED", "BUSY", "UNKNOWN", "P50", "P99", "LAST ERROR"}
			return show(c, d, "/v1/integrations", nil, header, func(i tidings.Integration) []string {
				row := []string{string(i.Channel), i.ID, string(i.State)}
				h := i.Health
				if h == nil {
					return append(row, "", "0", "", "", "", "", "", "", "")
				}
				return append(row, string(h.Breaker), strconv.FormatFloat(h.PerMinute(), 'f', 1, 64), strconv.Itoa(h.Accepted), strconv.Itoa(h.Refused),
					strconv.Itoa(h.Busy), strconv.Itoa(h.Unknown), strconv.Itoa(h.P50)+" ms", strconv.Itoa(h.P99)+" ms", h.Error)
			})
		},
	}
	return newGroup("integration", "Integrations: accounts at providers, their order, and how they fare", withClient(ls), d.newIntegrationPut(),
		d.newIntegrationShow(), d.newIntegrationDo("rm", "Remove an integration; what was sent over it stays in the record", http.MethodDelete, "", "removed"),
		d.newIntegrationDo("pause", "Give an integration no more deliveries", http.MethodPost, "/pause", "paused, within 2 s everywhere"),
		d.newIntegrationDo("resume", "Give a paused integration deliveries again", http.MethodPost, "/resume", "active, within 2 s everywhere"),
		d.newIntegrationCheck(), withClient(health))
}

func perSecond(rate float64) string {
	if rate == 0 {
		return "none"
	}
	return strconv.FormatFloat(rate, 'f', -1, 64) + "/s"
}

func newProvider(d *deps) *cobra.Command {
	return newGroup("provider", "Providers for which integrations can be configured", withClient(&cobra.Command{
		Use: "ls", Short: "List providers and the settings that their integrations take", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			var page struct{ Data []tidings.Driver }
			return d.look(c, "/v1/providers", &page, func(p *printer) error {
				var rows [][]string
				for _, driver := range page.Data {
					for _, f := range driver.Fields {
						var marks []string
						if f.Required {
							marks = append(marks, "required")
						}
						if f.Secret {
							marks = append(marks, "secret")
						}
						rows = append(rows, []string{string(driver.Channel), driver.Provider, f.Name, strings.Join(marks, " "), f.Default, f.Help})
					}
				}
				return p.table([]string{"CHANNEL", "PROVIDER", "SETTING", "", "DEFAULT", "MEANS"}, rows)
			})
		},
	}))
}

func integrationPath(id string) string { return "/v1/integrations/" + url.PathEscape(id) }

func (d *deps) newIntegrationPut() *cobra.Command {
	var i tidings.Integration
	var sets, secrets []string
	var provider, state string
	c := &cobra.Command{
		Use: "put ID", Short: "Make an integration or replace it; secrets that are not named stay as they are", Args: arguments("ID"),
		Example: `  tidings integration put gate-2 --provider kannel --order 2 --rate 50 --set user=shop --set url=http://10.0.0.7:13013/cgi-bin/sendsms --secret password=@gate.txt
  tidings integration put push --provider fcm --secret service_account=@key.json
  tidings integration put gate-2 --provider kannel --set user=shop --secret password=- < gate.txt`,
		RunE: func(c *cobra.Command, args []string) error {
			i.ID, i.Provider, i.State, i.Settings = args[0], provider, tidings.IntegrationState(state), map[string]string{}
			for _, s := range sets {
				name, value, ok := strings.Cut(s, "=")
				if !ok {
					return &usageError{c.CommandPath(), fmt.Errorf("--set: %q is not NAME=VALUE", s)}
				}
				i.Settings[name] = value
			}
			for _, s := range secrets {
				name, source, ok := strings.Cut(s, "=")
				if !ok || source != "" && source != "-" && !strings.HasPrefix(source, "@") {
					// The command line stands in the shell's history and in the list of processes.
					return &usageError{c.CommandPath(), fmt.Errorf("--secret %s: give NAME=@FILE, NAME=- for standard input, or NAME= to take it away", name)}
				}
				value, err := readSecret(c, source)
				if err != nil {
					return fmt.Errorf("--secret %s: %w", name, err)
				}
				i.Settings[name] = value
			}
			return d.put(c, http.MethodPut, integrationPath(args[0]), i, "integration "+args[0]+" is set, within 2 s everywhere")
		},
	}
	f := c.Flags()
	f.StringVar(&provider, "provider", "", "names the driver: see 'tidings provider ls'")
	f.StringVar(&i.Application, "app", "", "serves this application only (default all)")
	f.StringVar(&i.Name, "name", "", "what people call it")
	f.StringVar(&state, "state", "", "active or paused (default as it is, or active)")
	f.IntVar(&i.Order, "order", 0, "the lowest of a channel that is well takes a delivery")
	f.IntVar(&i.Weight, "weight", 0, "share among those of one order (default 1)")
	f.Float64Var(&i.Rate, "rate", 0, "calls a second by contract (default no limit)")
	f.IntVar(&i.Burst, "burst", 0, "calls at once (default one second's)")
	f.IntVar(&i.Parallel, "parallel", 0, fmt.Sprintf("calls under way at once in each worker (default %d)", tidings.DefaultParallel))
	f.StringArrayVar(&sets, "set", nil, "a setting: url=https://... (repeatable)")
	f.StringArrayVar(&secrets, "secret", nil, "a secret setting: password=@FILE, or - for standard input (repeatable)")
	return withClient(c)
}

// readSecret reads a secret from @FILE or, for -, from standard input, without the newline at its end.
func readSecret(c *cobra.Command, source string) (string, error) {
	if source == "" {
		return "", nil
	}
	var b []byte
	var err error
	if source == "-" {
		b, err = io.ReadAll(c.InOrStdin())
	} else {
		b, err = os.ReadFile(source[1:])
	}
	return strings.TrimRight(string(b), "\r\n"), err
}

func (d *deps) newIntegrationShow() *cobra.Command {
	return withClient(&cobra.Command{
		Use: "show ID", Short: "Show an integration; of secrets the names only", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			var i tidings.Integration
			return d.look(c, integrationPath(args[0]), &i, func(p *printer) error {
				rows := [][]string{{"provider", i.Provider}, {"channel", string(i.Channel)}, {"state", string(i.State)}, {"application", or(i.Application, "all")},
					{"name", i.Name}, {"order", strconv.Itoa(i.Order)}, {"weight", strconv.Itoa(max(1, i.Weight))}, {"rate", perSecond(i.Rate)},
					{"burst", strconv.Itoa(i.Burst)}, {"parallel", strconv.Itoa(cmp.Or(i.Parallel, tidings.DefaultParallel))}}
				for _, name := range sortedKeys(i.Settings) {
					rows = append(rows, []string{"set " + name, i.Settings[name]})
				}
				for _, name := range i.Secrets {
					rows = append(rows, []string{"secret " + name, "(kept)"})
				}
				if h := i.Health; h != nil {
					rows = append(rows, []string{"breaker", string(h.Breaker)}, []string{"calls", strconv.Itoa(h.Calls)}, []string{"accepted", strconv.Itoa(h.Accepted)},
						[]string{"p99", strconv.Itoa(h.P99) + " ms"}, []string{"last error", h.Error})
				}
				return p.table([]string{"WHAT", "OF " + i.ID}, rows)
			})
		},
	})
}

func (d *deps) newIntegrationDo(verb, short, method, path, done string) *cobra.Command {
	return withClient(&cobra.Command{
		Use: verb + " ID", Short: short, Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, method, integrationPath(args[0])+path, nil, "integration "+args[0]+" "+done)
		},
	})
}

func (d *deps) newIntegrationCheck() *cobra.Command {
	return withClient(&cobra.Command{
		Use: "check ID", Short: "Open an integration's settings and secrets as a worker does; calls nobody", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := d.adminClient(c)
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := api.call(c.Context(), http.MethodPost, integrationPath(args[0])+"/check", nil, &raw); err != nil {
				return err
			}
			var found platform.IntegrationCheck
			if err := json.Unmarshal(raw, &found); err != nil {
				return err
			}
			p := d.printer(c)
			if p.json {
				err = p.value(raw)
			} else if found.OK {
				p.line("integration %s can be opened", args[0])
			}
			for _, e := range found.Errors {
				p.line("%s: %s", plain(e.Field), plain(e.Detail))
			}
			if err == nil && !found.OK {
				err = errQuiet
			}
			return err
		},
	})
}

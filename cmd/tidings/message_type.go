package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tidings"
)

func newType(d *deps) *cobra.Command {
	return newGroup("type", "Message types: the kinds of messages an application sends", (&typeFlags{}).command(d), newTypeList(d))
}

// typeFlags is what the command line says about a message type.
type typeFlags struct {
	file, lane string
	channels   []string
	variables  []string
	ttl        int64
	title      string
	mandatory  []string
	caps       []string
	dedup      time.Duration
	same       string
	replace    bool
	later      laterFlags
}

// command is 'tidings type put'.
func (f *typeFlags) command(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "put NAME", Short: "Make or change a message type", Args: arguments("NAME"),
		Example: `  tidings type put order.refund_requested --channel web --channel app --var order:string!=2026-0001 --var amount:string=12.50
  tidings type put order.late --channel web,sms --route web --route sms:10m --route sms:20m:role:manager --hours hold
  tidings type put order.paid --channel web,sms --digest orders.summary --digest-every 15m
  tidings type put code.login --file code.login.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			spec, err := f.spec(c, args[0])
			if err != nil {
				return err
			}
			return d.put(c, http.MethodPut, withQuery("/v1/types/"+url.PathEscape(args[0]), ofApp(c)), spec, "message type "+args[0]+" is in force")
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.file, "file", "", "the whole type as JSON or YAML (- is standard input)")
	flags.StringVar(&f.lane, "lane", "normal", "priority: critical, normal or bulk")
	flags.StringSliceVar(&f.channels, "channel", []string{"web"}, "a channel that it may use: "+tidings.Names(tidings.Channels)+" (repeatable)")
	flags.StringArrayVar(&f.variables, "var", nil, "a variable as NAME:TYPE, with ! when required and =EXAMPLE; types: string, number, boolean, list, object (repeatable)")
	flags.Int64Var(&f.ttl, "ttl", 0, "seconds after which it is not sent any more")
	flags.StringVar(&f.title, "title", "", "what its receivers call it, where they choose what they want")
	flags.StringSliceVar(&f.mandatory, "mandatory", nil, "a channel on which users cannot mute it (repeatable)")
	flags.StringSliceVar(&f.caps, "cap", nil, "how many of it a user gets: sms=3/24h (repeatable)")
	flags.DurationVar(&f.dedup, "dedup", 0, "for how long a second message that says the same is spared")
	flags.StringVar(&f.same, "dedup-key", "", "what is the same, in Liquid (default: the message's collapse key)")
	flags.BoolVar(&f.replace, "replace", false, "also in the inbox, a newer message takes the place of one with its collapse key")
	f.later.add(c)
	for _, other := range flagNames(c) {
		if other == "file" {
			continue
		}
		c.MarkFlagsMutuallyExclusive("file", other)
	}
	return withApp(c)
}

func flagNames(c *cobra.Command) (names []string) {
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

func (f *typeFlags) spec(c *cobra.Command, name string) (any, error) {
	if f.file != "" {
		return readSpec(c, f.file)
	}
	spec := map[string]any{"lane": f.lane, "channels": f.channels}
	if f.ttl > 0 {
		spec["ttl"] = f.ttl
	}
	if f.title != "" {
		spec["title"] = f.title
	}
	if len(f.mandatory) > 0 {
		spec["mandatory"] = f.mandatory
	}
	if len(f.caps) > 0 {
		caps, err := readCaps(f.caps)
		if err != nil {
			return nil, &usageError{c.CommandPath(), err}
		}
		spec["caps"] = caps
	}
	if f.dedup > 0 {
		spec["dedup"] = tidings.Dedup{Window: tidings.Seconds(f.dedup.Seconds()), Key: f.same}
	}
	if f.replace {
		spec["replace"] = true
	}
	if err := f.later.into(spec, f.channels); err != nil {
		return nil, &usageError{c.CommandPath(), err}
	}
	var variables []tidings.Variable
	for _, text := range f.variables {
		v, err := parseVariable(text)
		if err != nil {
			return nil, &usageError{c.CommandPath(), fmt.Errorf("--var %s: %w", text, err)}
		}
		variables = append(variables, v)
	}
	if variables != nil {
		spec["variables"] = variables
	}
	return spec, nil
}

// parseVariable reads NAME:TYPE, with a ! when it is required and =EXAMPLE: as JSON, or as a text.
func parseVariable(text string) (tidings.Variable, error) {
	name, rest, ok := strings.Cut(text, ":")
	if !ok || name == "" {
		return tidings.Variable{}, errors.New("write it NAME:TYPE, such as amount:number!=12.50")
	}
	typ, example, shown := strings.Cut(rest, "=")
	typ, required := strings.CutSuffix(typ, "!")
	v := tidings.Variable{Name: name, Type: tidings.VariableType(typ), Required: required}
	if !shown {
		return v, nil
	}
	if v.Type != tidings.VariableString && !json.Valid([]byte(example)) {
		return v, errors.New("its example is no JSON")
	}
	v.Example = json.RawMessage(example)
	if v.Type == tidings.VariableString {
		quoted, err := json.Marshal(example)
		v.Example = quoted
		return v, err
	}
	return v, nil
}

func newTypeList(d *deps) *cobra.Command {
	return withApp(&cobra.Command{
		Use: "ls", Short: "List an application's message types", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c, d, "/v1/types", ofApp(c), []string{"NAME", "LANE", "CHANNELS", "VARIABLES"}, func(t tidings.MessageType) []string {
				return []string{t.Name, string(t.Lane), joined(t.Channels), variablesShown(t.Variables)}
			})
		},
	})
}

func variablesShown(vs []tidings.Variable) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = v.Name + ":" + string(v.Type)
		if v.Required {
			parts[i] += "!"
		}
	}
	return strings.Join(parts, " ")
}

func joined[S ~string](list []S) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = string(s)
	}
	return strings.Join(parts, " ")
}

func newTemplate(d *deps) *cobra.Command {
	return newGroup("template", "Templates: the content of a message type for a channel and locale",
		newTemplateCreate(d), newTemplateSubmit(d), newTemplateReport(d), newTemplateQueue(d),
		newTemplateReview(d, "approve", "Approve a submitted version that another wrote", "approved"),
		newTemplateReview(d, "reject", "Reject a submitted version; --comment says why", "rejected"),
		newTemplatePublish(d), newTemplateRollback(d), newTemplateDiscard(d), newTemplateList(d))
}

func newTemplateCreate(d *deps) *cobra.Command {
	t := tidings.Template{}
	var publish bool
	c := &cobra.Command{
		Use: "create TYPE", Short: "Write the next version of a template, as a draft", Args: arguments("TYPE"),
		Example: `  tidings template create order.refund_requested --channel web --locale zh-CN \
    --title '退款申请' --body '订单 {{ order }} 申请退款 {{ amount }} 元' --publish`,
		RunE: func(c *cobra.Command, args []string) error {
			body, err := readArgument(t.Body, c.InOrStdin())
			if err != nil {
				return err
			}
			t.Type = args[0]
			return createTemplate(c, d, t, string(body), publish)
		},
	}
	flags := c.Flags()
	flags.StringVar((*string)(&t.Channel), "channel", "web", "one of "+tidings.Names(tidings.Channels))
	flags.StringVar(&t.Locale, "locale", tidings.DefaultLocale, "language of the text")
	flags.StringVar(&t.Title, "title", "", "title, in Liquid (all channels but sms)")
	flags.StringVar(&t.Body, "body", "", "text, in Liquid; @FILE, or - for standard input")
	flags.StringVar(&t.URL, "link", "", "what a click opens, in Liquid (all channels but sms)")
	flags.StringVar(&t.Signature, "signature", "", "who sends, put in front of the text (sms): 【Acme】")
	flags.StringVar(&t.ProviderCode, "provider-code", "", "the name under which the channel's provider knows it; sms: with the variables that it is given, SMS_123:order,amount")
	flags.BoolVar(&publish, "publish", false, "publish it at once, unreviewed (admins; the audit log tells)")
	return withApp(c)
}

func createTemplate(c *cobra.Command, d *deps, t tidings.Template, body string, publish bool) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	in := map[string]any{"type": t.Type, "channel": t.Channel, "locale": t.Locale, "title": t.Title, "body": body, "url": t.URL,
		"signature": t.Signature, "provider_code": t.ProviderCode}
	var made json.RawMessage
	if err := api.call(c.Context(), http.MethodPost, withQuery("/v1/templates", ofApp(c)), in, &made); err != nil {
		return err
	}
	var created tidings.Template
	if err := json.Unmarshal(made, &created); err != nil {
		return err
	}
	if publish {
		in = publishBody(created)
		in["unreviewed"] = true
		if err := api.call(c.Context(), http.MethodPost, withQuery("/v1/templates/publish", ofApp(c)), in, &made); err != nil {
			return err
		}
	}
	p := d.printer(c)
	if p.json {
		return p.value(made)
	}
	if publish {
		p.line("version %d is published", created.Version)
	} else {
		p.line("version %d is a draft; submit it: tidings template submit %s --channel %s --locale %s --version %d",
			created.Version, plain(created.Type), created.Channel, plain(created.Locale), created.Version)
	}
	return nil
}

func publishBody(t tidings.Template) map[string]any {
	return map[string]any{"type": t.Type, "channel": t.Channel, "locale": t.Locale, "version": t.Version}
}

func newTemplateList(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "ls TYPE", Short: "List the versions of a type's templates", Args: arguments("TYPE"),
		RunE: func(c *cobra.Command, args []string) error {
			q := ofApp(c)
			q.Set("type", args[0])
			header := []string{"CHANNEL", "LOCALE", "VERSION", "STATE", "TITLE", "TEXT"}
			return show(c, d, "/v1/templates", q, header, func(t tidings.Template) []string {
				return []string{string(t.Channel), t.Locale, fmt.Sprint(t.Version), string(t.State), t.Title, t.Body}
			})
		},
	}
	return withApp(c)
}

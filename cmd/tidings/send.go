package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

// sendBody is the body of POST /v1/messages.
type sendBody struct {
	Type            string            `json:"type"`
	Audience        tidings.Audience  `json:"audience"`
	Data            json.RawMessage   `json:"data,omitempty"`
	Channels        []tidings.Channel `json:"channels,omitempty"`
	SendAt          *time.Time        `json:"send_at,omitempty"`
	ExpiresAt       *time.Time        `json:"expires_at,omitempty"`
	CollapseKey     string            `json:"collapse_key,omitempty"`
	CancellationKey string            `json:"cancellation_key,omitempty"`
}

// sendFlags is what the command line says about a message.
type sendFlags struct {
	body        sendBody
	data        string
	channels    []string
	in          time.Duration
	sendAt      string
	expireIn    time.Duration
	idempotency string
	wait        bool
	dry         bool
}

func newSend(d *deps) *cobra.Command {
	f := &sendFlags{}
	c := &cobra.Command{
		Use: "send TYPE", Short: "Send a message", Args: arguments("TYPE"),
		Example: `  tidings send order.refund_requested --user u-lin --data '{"order":"A-1001","amount":"128.00"}'
  tidings send notice.upgrade --everyone --data @notice.json --in 2h
  tidings send order.refund_requested --store acme-1 --role manager --data - <data.json`,
		RunE: func(c *cobra.Command, args []string) error {
			f.body.Type = args[0]
			return f.send(c, d)
		},
	}
	a := &f.body.Audience
	flags := c.Flags()
	flags.StringSliceVar(&a.Merchants, "merchant", nil, "to this merchant's users (repeatable)")
	flags.StringSliceVar(&a.Stores, "store", nil, "to this store's users (repeatable)")
	flags.StringSliceVar(&a.Users, "user", nil, "to this user (repeatable)")
	flags.StringSliceVar(&a.Roles, "role", nil, "only to members with this role (repeatable)")
	flags.StringToStringVar(&a.Attributes, "attribute", nil, "only to members of a store or merchant with KEY=VALUE (repeatable)")
	flags.StringVar((*string)(&a.Scope), "scope", "", "of the merchants named: all, merchant or stores")
	flags.BoolVar(&a.Everyone, "everyone", false, "to every user")
	flags.StringVar(&f.data, "data", "", "values of the type's variables: a JSON object, @FILE, or - for standard input")
	flags.StringSliceVar(&f.channels, "channel", nil, "only on this channel: "+tidings.Names(tidings.Channels)+" (repeatable)")
	flags.DurationVar(&f.in, "in", 0, "send after this time (2h30m)")
	flags.StringVar(&f.sendAt, "at", "", "send at this time (RFC 3339)")
	flags.DurationVar(&f.expireIn, "expire-in", 0, "do not send later than after this time")
	flags.StringVar(&f.body.CollapseKey, "collapse-key", "", "let it take the place of older ones with this key that still wait, and where the channel can")
	flags.StringVar(&f.body.CancellationKey, "cancellation-key", "", "let it be canceled by this key")
	flags.StringVar(&f.idempotency, "idempotency-key", "", "send it once, however often the command is repeated")
	flags.BoolVar(&f.wait, "wait", false, "wait until it is done and show its trace")
	flags.BoolVar(&f.dry, "preview", false, "send nothing; show who would get what, why or why not, and what it costs")
	c.MarkFlagsMutuallyExclusive("in", "at")
	c.MarkFlagsMutuallyExclusive("preview", "wait")
	return withClient(c)
}

func (f *sendFlags) send(c *cobra.Command, d *deps) error {
	if err := f.complete(c.InOrStdin()); err != nil {
		return &usageError{c.CommandPath(), err}
	}
	api, err := d.client(c)
	if err != nil {
		return err
	}
	if f.dry {
		return f.preview(c, d, api)
	}
	var headers []string
	if f.idempotency != "" {
		headers = []string{"Idempotency-Key", f.idempotency}
	}
	var raw json.RawMessage
	if err := api.call(c.Context(), http.MethodPost, "/v1/messages", f.body, &raw, headers...); err != nil {
		return err
	}
	var accepted struct{ ID tidings.ID }
	if err := json.Unmarshal(raw, &accepted); err != nil {
		return err
	}
	p := d.printer(c)
	if f.wait {
		return showWhenDone(c, api, p, accepted.ID)
	}
	if p.json {
		return p.value(raw)
	}
	if !p.tty {
		p.line("%s", accepted.ID)
		return nil
	}
	p.line("accepted %s\n  tidings message %s   shows how it fares", accepted.ID, accepted.ID)
	return nil
}

// complete reads what the flags say in words of their own.
func (f *sendFlags) complete(stdin io.Reader) error {
	data, err := readArgument(f.data, stdin)
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if f.data != "" {
		if !json.Valid(data) {
			return errors.New("--data: no JSON; quote it for the shell: --data '{\"name\":\"value\"}'")
		}
		f.body.Data = data
	}
	for _, name := range f.channels {
		f.body.Channels = append(f.body.Channels, tidings.Channel(name))
	}
	if f.sendAt != "" {
		t, err := time.Parse(time.RFC3339, f.sendAt)
		if err != nil {
			return fmt.Errorf("--at: %q is no time like 2026-07-28T18:00:00+08:00", f.sendAt)
		}
		f.body.SendAt = &t
	}
	if f.in > 0 {
		t := time.Now().Add(f.in)
		f.body.SendAt = &t
	}
	if f.expireIn > 0 {
		t := time.Now().Add(f.expireIn)
		f.body.ExpiresAt = &t
	}
	if f.body.Audience.Empty() {
		return errors.New("to whom? name a --user, --store or --merchant, or --everyone")
	}
	return nil
}

// readArgument reads text that is given as itself, as @FILE, or on standard input (-).
func readArgument(text string, stdin io.Reader) ([]byte, error) {
	if name, ok := strings.CutPrefix(text, "@"); ok {
		return os.ReadFile(name)
	}
	if text == "-" {
		return io.ReadAll(stdin)
	}
	return []byte(text), nil
}

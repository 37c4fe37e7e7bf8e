package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"tidings"
)

// preview shows what would become of the message.
func (f *sendFlags) preview(c *cobra.Command, d *deps, api *client) error {
	var raw json.RawMessage
	if err := api.call(c.Context(), http.MethodPost, "/v1/messages:preview", f.body, &raw); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(raw)
	}
	var v tidings.Preview
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	return printPreview(p, v)
}

func printPreview(p *printer, v tidings.Preview) error {
	for _, content := range v.Contents {
		of := fmt.Sprintf("%s %s, version %d, to %d users", content.Channel, content.Locale, content.Version, content.Users)
		if content.Percent > 0 {
			of += fmt.Sprintf(" (for %d %% of the stores)", content.Percent)
		}
		if content.Parts > 0 {
			of += fmt.Sprintf(", %d SMS parts (%s)", content.Parts, content.Encoding)
		}
		if content.Reason != tidings.NoReason {
			of = fmt.Sprintf("%s %s: %s, %s", content.Channel, content.Locale, content.Reason, content.Detail)
		}
		p.line("%s", plain(of))
		for _, text := range []string{content.Content.Title, content.Content.Body, content.Content.URL} {
			if text != "" {
				p.line("  %s", strings.ReplaceAll(plainLines(text), "\n", "\n  "))
			}
		}
	}
	var rows [][]string
	for _, r := range v.Recipients {
		for _, d := range r.Deliveries {
			rows = append(rows, []string{r.User, strings.Join(r.Via, " "), string(d.Channel), string(d.State), why(d.Decisions)})
		}
	}
	if err := p.table([]string{"USER", "VIA", "CHANNEL", "STATE", "WHY"}, rows); err != nil {
		return err
	}
	for _, e := range v.Escalations {
		p.line("step %d, unless it is read: to %s on %s, %s %s", e.Step, plain(e.To), joined(e.Channels), withReason(string(e.State), e.Reason), shownTime(e.DueAt))
	}
	cost := fmt.Sprintf("%d users; %d SMS parts", v.Users, v.Cost.Parts)
	if v.Cost.Estimated {
		cost += fmt.Sprintf(", estimated from the first %d users", v.Planned)
	}
	if v.Cost.Left != nil {
		cost += fmt.Sprintf("; %d are left this month", *v.Cost.Left)
	}
	p.line("%s; nothing was sent", cost)
	return nil
}

// why tells what rules said that is more than that it passed.
func why(ds []tidings.Decision) string {
	var said []string
	for _, s := range ds {
		if s.Outcome == tidings.Stops || s.Outcome == tidings.Holds {
			said = append(said, strings.TrimSpace(string(s.Rule)+" "+string(s.Outcome)+" "+s.Detail))
		}
	}
	return strings.Join(said, "; ")
}

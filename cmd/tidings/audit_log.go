package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

func newAuditLog(d *deps) *cobra.Command {
	var actor, action, object string
	var since time.Duration
	var limit int
	c := &cobra.Command{
		Use: "log", Short: "Who changed what: the audit log, the newest first", Args: noArgument,
		Example: "  tidings audit log --action template --since 24h\n  tidings audit log --object 'template shop/'",
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, value := range map[string]string{"actor": actor, "action": action, "object": object} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if since > 0 {
				q.Set("since", time.Now().Add(-since).UTC().Format(time.RFC3339))
			}
			header := []string{"NUMBER", "AT", "WHO", "VIA", "WHAT", "OBJECT", "DETAIL"}
			return show(c, d, "/v1/audit", q, header, func(ch tidings.Change) []string {
				who := ch.Actor
				if ch.Key != "" && !strings.Contains(who, ch.Key) {
					who += " (key " + ch.Key + ")"
				}
				return []string{fmt.Sprint(ch.Number), shownTime(ch.At), who, ch.Via, ch.Action, ch.Object, string(ch.Detail)}
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&actor, "actor", "", "of this account")
	flags.StringVar(&action, "action", "", "this action, or its beginning: template, template.approve")
	flags.StringVar(&object, "object", "", "what the object's name begins with")
	flags.DurationVar(&since, "since", 0, "not older than this")
	flags.IntVar(&limit, "limit", 50, "rows, 200 at most")
	return withClient(c)
}

func newAuditVerify(d *deps) *cobra.Command {
	var head string
	c := &cobra.Command{
		Use: "verify", Short: "Check that no row of the audit log was changed, deleted or moved", Args: noArgument,
		Long: `Check the audit log from its first row to its head, and print the head: NUMBER:HASH. Keep that where nobody who can write
to the database can: with --head it later proves that the log up to there is still the same, even against somebody who made
all of it anew. Exits with 1 and names the first row that is wrong.`,
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			if head != "" {
				number, hash, ok := strings.Cut(head, ":")
				if _, err := strconv.ParseInt(number, 10, 64); err != nil || !ok {
					return &usageError{c.CommandPath(), fmt.Errorf("--head is NUMBER:HASH, as this command prints it")}
				}
				q.Set("number", number)
				q.Set("hash", hash)
			}
			return verifyAudit(c, d, q)
		},
	}
	c.Flags().StringVar(&head, "head", "", "a head that was kept: NUMBER:HASH")
	return withClient(c)
}

func verifyAudit(c *cobra.Command, d *deps, q url.Values) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var report tidings.AuditReport
	if err := api.call(c.Context(), http.MethodGet, withQuery("/v1/audit/verify", q), nil, &report); err != nil {
		return err
	}
	p := d.printer(c)
	switch {
	case p.json:
		err = p.value(report)
	case report.Bad != 0:
		p.line("row %d is wrong: %s", report.Bad, plain(report.Why))
	default:
		p.line("%d rows are well; head %d:%s", report.Rows, report.Head.Number, report.Head.Hash)
	}
	if err == nil && report.Bad != 0 {
		err = errQuiet
	}
	return err
}

package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"tidings"
)

// versionCommand makes a command about one version of a template: TYPE with --channel, --locale and --version.
func versionCommand(use, short string, run func(c *cobra.Command, t tidings.Template) error) *cobra.Command {
	t := tidings.Template{}
	c := &cobra.Command{
		Use: use + " TYPE", Short: short, Args: arguments("TYPE"),
		RunE: func(c *cobra.Command, args []string) error {
			t.Type = args[0]
			return run(c, t)
		},
	}
	c.Flags().StringVar((*string)(&t.Channel), "channel", "web", "one of "+tidings.Names(tidings.Channels))
	c.Flags().StringVar(&t.Locale, "locale", tidings.DefaultLocale, "language of the text")
	if use != "rollback" {
		c.Flags().IntVar(&t.Version, "version", 0, "which version")
		_ = c.MarkFlagRequired("version") // fails only for a flag that does not exist
	}
	return withApp(c)
}

func newTemplatePublish(d *deps) *cobra.Command {
	var percent int
	var unreviewed bool
	c := versionCommand("publish", "Put an approved version into force", func(c *cobra.Command, t tidings.Template) error {
		in := publishBody(t)
		done := fmt.Sprintf("version %d is published", t.Version)
		if percent != 100 {
			in["percent"] = percent
			done += fmt.Sprintf(" for %d %% of the stores", percent)
		}
		if unreviewed {
			in["unreviewed"] = true
		}
		return d.put(c, http.MethodPost, withQuery("/v1/templates/publish", ofApp(c)), in, done)
	})
	c.Flags().IntVar(&percent, "percent", 100, "of the stores; the version in force goes on for the others")
	c.Flags().BoolVar(&unreviewed, "unreviewed", false, "publish a draft that nobody reviewed (admins; the audit log tells)")
	return c
}

func newTemplateReview(d *deps, verb, short, done string) *cobra.Command {
	var comment string
	c := versionCommand(verb, short, func(c *cobra.Command, t tidings.Template) error {
		in := publishBody(t)
		in["comment"] = comment
		return d.put(c, http.MethodPost, withQuery("/v1/templates/"+verb, ofApp(c)), in, fmt.Sprintf("version %d is %s", t.Version, done))
	})
	c.Flags().StringVar(&comment, "comment", "", "what the author should know")
	return c
}

func newTemplateRollback(d *deps) *cobra.Command {
	return versionCommand("rollback", "Take the newest version out of force: the one before is back", func(c *cobra.Command, t tidings.Template) error {
		in := publishBody(t)
		delete(in, "version")
		return d.put(c, http.MethodPost, withQuery("/v1/templates/rollback", ofApp(c)), in, "the version before is in force")
	})
}

func newTemplateDiscard(d *deps) *cobra.Command {
	return versionCommand("discard", "Take back now what waits to be sent of a version", func(c *cobra.Command, t tidings.Template) error {
		return d.put(c, http.MethodPost, withQuery("/v1/templates/discard", ofApp(c)), publishBody(t), fmt.Sprintf("what waited of version %d is taken back", t.Version))
	})
}

func newTemplateSubmit(d *deps) *cobra.Command {
	return versionCommand("submit", "Put a draft before its reviewers, and show the report", func(c *cobra.Command, t tidings.Template) error {
		return d.report(c, http.MethodPost, withQuery("/v1/templates/submit", ofApp(c)), publishBody(t))
	})
}

func newTemplateReport(d *deps) *cobra.Command {
	return versionCommand("report", "Show how a version looks, and how it differs from what is published", func(c *cobra.Command, t tidings.Template) error {
		q := ofApp(c)
		for name, value := range map[string]string{"type": t.Type, "channel": string(t.Channel), "locale": t.Locale, "version": fmt.Sprint(t.Version)} {
			q.Set(name, value)
		}
		return d.report(c, http.MethodGet, withQuery("/v1/templates/report", q), nil)
	})
}

// report asks for a report and prints it.
func (d *deps) report(c *cobra.Command, method, path string, in any) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var r tidings.TemplateReport
	if err := api.call(c.Context(), method, path, in, &r); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(r)
	}
	p.line("version %d is %s, by %s", r.Template.Version, r.Template.State, plain(r.Template.Author))
	for _, x := range r.Renderings {
		p.line("\nwith %s:", plain(x.Source))
		switch {
		case x.Error != "":
			p.line("  fails: %s", plain(x.Error))
		default:
			p.line("  %s\n  %s", plain(x.Content.Title), plain(x.Content.Body))
		}
		if x.Parts > 0 {
			p.line("  charged as %d SMS (%s)", x.Parts, x.Encoding)
		}
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"against what is published", r.Diff}, {"variables that the type does not declare", r.Missing}, {"take care", r.Warnings}} {
		if len(part.lines) > 0 {
			p.line("\n%s:", part.title)
		}
		for _, line := range part.lines {
			p.line("  %s", plain(line))
		}
	}
	return nil
}

func newTemplateQueue(d *deps) *cobra.Command {
	return withApp(&cobra.Command{
		Use: "queue", Short: "List what waits for a reviewer", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			header := []string{"APPLICATION", "TYPE", "CHANNEL", "LOCALE", "VERSION", "AUTHOR", "TEXT"}
			return show(c, d, "/v1/templates/submitted", ofApp(c), header, func(t tidings.Template) []string {
				return []string{t.Application, t.Type, string(t.Channel), t.Locale, fmt.Sprint(t.Version), t.Author, t.Body}
			})
		},
	})
}

// newDecision makes 'app approve' or 'app reject'.
func (d *deps) newDecision(verb, short, done string) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use: verb + " ID", Short: short, Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodPost, "/v1/applications/"+url.PathEscape(args[0])+"/"+verb, map[string]string{"comment": comment}, "application "+args[0]+": "+done)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "what the applicant should know")
	return withClient(c)
}

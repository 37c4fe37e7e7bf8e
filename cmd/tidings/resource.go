package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// put sends in to the API and says what was done; with --json it prints the answer.
func (d *deps) put(c *cobra.Command, method, path string, in any, done string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := api.call(c.Context(), method, path, in, &answer); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		if len(answer) == 0 {
			answer = json.RawMessage("{}")
		}
		return p.value(answer)
	}
	p.line("%s", plain(done))
	return nil
}

// show lists what the API has at path as a table, one row for each.
func show[T any](c *cobra.Command, d *deps, path string, query url.Values, header []string, row func(T) []string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	items, err := list[T](c.Context(), api, path, query, "after", 0)
	if err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(items)
	}
	rows := make([][]string, len(items))
	for i, item := range items {
		rows[i] = row(item)
	}
	return p.table(header, rows)
}

// withApp gives a command --app, the application that an admin acts for.
func withApp(c *cobra.Command) *cobra.Command {
	c.Flags().String("app", "", "the application, when you are an admin; a key knows its own")
	return withClient(c)
}

// ofApp is the query that names the application.
func ofApp(c *cobra.Command) url.Values {
	q := url.Values{}
	if app, _ := c.Flags().GetString("app"); app != "" {
		q.Set("application", app)
	}
	return q
}

// readSpec reads a file of JSON or YAML, or - for standard input, as JSON.
func readSpec(c *cobra.Command, name string) (json.RawMessage, error) {
	var text []byte
	var err error
	if name == "-" {
		var b bytes.Buffer
		_, err = b.ReadFrom(c.InOrStdin())
		text = b.Bytes()
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	spec, err := yaml.YAMLToJSON(text) // JSON is YAML
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return spec, nil
}

// newRemove makes the command that deletes one of the directory.
func (d *deps) newRemove(noun, path string) *cobra.Command {
	return withClient(&cobra.Command{
		Use: "rm ID", Short: "Remove a " + noun + " from the directory; what it was sent stays in the record", Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return d.put(c, http.MethodDelete, path+url.PathEscape(args[0]), nil, noun+" "+args[0]+" removed")
		},
	})
}

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"tidings/console"
)

func newQueue(d *deps) *cobra.Command {
	list := &cobra.Command{Use: "ls", Short: "List the queues", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error { return listQueues(c, d) }}
	pause := &cobra.Command{Use: "pause QUEUE...", Short: "Stop working on a queue; nothing in it is lost", Args: someQueues,
		RunE: func(c *cobra.Command, args []string) error { return eachQueue(c, d, args, "pause", "paused") }}
	resume := &cobra.Command{Use: "resume QUEUE...", Short: "Work on a paused queue again", Args: someQueues,
		RunE: func(c *cobra.Command, args []string) error { return eachQueue(c, d, args, "resume", "resumed") }}
	retry := &cobra.Command{Use: "retry QUEUE...", Short: "Try now what waits to be tried again or was given up", Args: someQueues,
		RunE: func(c *cobra.Command, args []string) error { return eachQueue(c, d, args, "retry", "tried again") }}
	return newGroup("queue", "Watch and steer the conveyor", withClient(list), withClient(pause), withClient(resume), withClient(retry))
}

func someQueues(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("QUEUE is missing; 'tidings queue ls' lists them")
	}
	return nil
}

func listQueues(c *cobra.Command, d *deps) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	var found page[console.Queue]
	if err := api.call(c.Context(), http.MethodGet, "/v1/queues", nil, &found); err != nil {
		return err
	}
	p := d.printer(c)
	if p.json {
		return p.value(found.Data)
	}
	rows := make([][]string, len(found.Data))
	for i, q := range found.Data {
		state := "running"
		if q.Paused {
			state = "paused"
		}
		oldest := time.Duration(q.LatencyMS) * time.Millisecond
		rows[i] = []string{q.Queue, state, fmt.Sprint(q.Pending), fmt.Sprint(q.Active), fmt.Sprint(q.Retry), fmt.Sprint(q.Archived),
			oldest.String(), fmt.Sprint(q.Processed), fmt.Sprint(q.Failed)}
	}
	return p.table([]string{"QUEUE", "STATE", "PENDING", "ACTIVE", "RETRY", "GIVEN UP", "OLDEST", "DONE TODAY", "FAILED TODAY"}, rows)
}

func eachQueue(c *cobra.Command, d *deps, names []string, action, done string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	p := d.printer(c)
	results := map[string]any{}
	for _, name := range names {
		var answer struct {
			Retried *int `json:"retried,omitempty"`
		}
		if err := api.call(c.Context(), http.MethodPost, "/v1/queues/"+url.PathEscape(name)+"/"+action, nil, &answer); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results[name] = answer
		if answer.Retried != nil {
			p.line("%s: %d %s", name, *answer.Retried, done)
		} else {
			p.line("%s: %s", name, done)
		}
	}
	if p.json {
		return p.value(results)
	}
	return nil
}

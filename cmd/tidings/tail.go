package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

func newTail(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "tail", Short: "Follow a user's messages as they arrive", Args: noArgument,
		Example: `  tidings tail                    as the user in TIDINGS_TOKEN
  tidings tail --user u-lin       by a token that the key mints`,
		RunE: func(c *cobra.Command, _ []string) error { return follow(c, d) },
	}
	c.Flags().String("user", "", "follow this user")
	c.Flags().String("cursor", "", "go on after this cursor")
	c.Flags().Int("count", 0, "end after so many messages")
	return withClient(c)
}

// tailing is a stream that is followed across connections.
type tailing struct {
	api    *client
	p      *printer
	errout io.Writer
	cursor string
	left   int // messages until the end; 0: no end
	name   string
}

func follow(c *cobra.Command, d *deps) error {
	user, _ := c.Flags().GetString("user")
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return err
	}
	t := &tailing{p: d.printer(c), errout: d.errout, name: "cli-" + rand.Text()[:10]}
	t.cursor, _ = c.Flags().GetString("cursor")
	t.left, _ = c.Flags().GetInt("count")
	for wait := time.Duration(0); ; {
		// A minted token ends after an hour: a new one for each connection.
		if t.api, err = d.userClient(c, user); err != nil {
			return err
		}
		t.api.base = strings.TrimSuffix(or(cfg.CometURL, cfg.URL), "/")
		began := time.Now()
		again, err := t.once(c.Context())
		if errors.Is(err, errDone) || c.Context().Err() != nil {
			return nil
		}
		if err != nil {
			if p, ok := errors.AsType[*problem](err); ok && p.Status < 500 && p.Status != http.StatusTooManyRequests {
				return err
			}
			fmt.Fprintln(d.errout, plain(strings.SplitN(err.Error(), "\n", 2)[0])+"; trying again")
		}
		if wait = min(max(2*wait, time.Second), 15*time.Second); time.Since(began) > time.Minute {
			wait = time.Second
		}
		select {
		case <-time.After(max(again, wait)):
		case <-c.Context().Done():
			return nil
		}
	}
}

// errDone ends a tail that has shown what it was asked for.
var errDone = errors.New("done")

// tailFrame is a line of /comet/stream.
type tailFrame struct {
	Cursor   string            `json:"cursor"`
	Reset    bool              `json:"reset"`
	Messages []json.RawMessage `json:"messages"`
	Close    *struct {
		Code    int    `json:"code"`
		Reason  string `json:"reason"`
		RetryMS int64  `json:"retry_ms"`
	} `json:"close"`
}

// once follows one connection to its end and tells how long the server asks to stay away.
func (t *tailing) once(ctx context.Context) (again time.Duration, err error) {
	q := url.Values{"client": {t.name}}
	if t.cursor != "" {
		q.Set("cursor", t.cursor)
	}
	resp, err := t.api.open(ctx, http.MethodGet, withQuery("/comet/stream", q), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // read
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var f tailFrame
		if len(lines.Bytes()) == 0 {
			continue // a heartbeat
		}
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return 0, fmt.Errorf("the stream is not understood: %w", err)
		}
		if err := t.show(f); err != nil {
			return 0, err
		}
		if f.Close != nil {
			return t.closed(f)
		}
	}
	return 0, lines.Err()
}

func (t *tailing) closed(f tailFrame) (time.Duration, error) {
	if f.Close.Code >= 3500 {
		return 0, &problem{Status: http.StatusConflict, Detail: fmt.Sprintf("the server ended the stream: %s (%d)", f.Close.Reason, f.Close.Code)}
	}
	return time.Duration(f.Close.RetryMS) * time.Millisecond, nil
}

func (t *tailing) show(f tailFrame) error {
	if f.Reset {
		fmt.Fprintln(t.errout, "the list was renewed; 'tidings history' shows what is in it")
	}
	for _, raw := range f.Messages {
		var e struct {
			tidings.Entry
			Gone bool `json:"gone"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		if err := t.entry(raw, e.Entry, e.Gone); err != nil {
			return err
		}
		if t.left--; t.left == 0 {
			return errDone
		}
	}
	if f.Cursor != "" {
		t.cursor = f.Cursor
	}
	return nil
}

func (t *tailing) entry(raw json.RawMessage, e tidings.Entry, gone bool) error {
	switch {
	case t.p.json:
		_, err := fmt.Fprintf(t.p.out, "%s\n", raw)
		return err
	case gone:
		t.p.line("%6d  (no longer visible to you)", e.Number)
	case t.p.tty:
		t.p.line("%6d  %s  %s\n        %s%s", e.Number, shownTime(e.At), plain(e.Title), plain(e.Body), optional("\n        ", plain(e.URL)))
	default:
		return t.p.table(nil, [][]string{{fmt.Sprint(e.Number), shownTime(e.At), e.Type, e.Title, e.Body, e.URL, e.ID.String()}})
	}
	return nil
}

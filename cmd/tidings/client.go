package main

import (
	"bytes"
	"context"
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

// client talks to /v1 with one credential.
type client struct {
	base       string
	credential string
	as         string // what the credential is, for errors: "TIDINGS_KEY"
	http       *http.Client
}

// answerLimit bounds what is read of one answer.
const answerLimit = 64 << 20

// withClient gives a command the flags of a client.
func withClient(c *cobra.Command) *cobra.Command { return withOutput(withSettings(c, forClients)) }

// client speaks as whoever holds the key, or as admin by the admin token.
func (d *deps) client(c *cobra.Command) (*client, error) {
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return nil, err
	}
	switch {
	case cfg.Key != "":
		return newClient(cfg.URL, cfg.Key, "TIDINGS_KEY")
	case cfg.AdminToken != "":
		return newClient(cfg.URL, cfg.AdminToken, "TIDINGS_ADMIN_TOKEN")
	}
	return nil, errors.New("no credential: set TIDINGS_KEY (or --key) or TIDINGS_ADMIN_TOKEN\n" +
		"  with 'tidings up --demo' running: set -a; . data/demo.env; set +a")
}

// adminClient speaks as an admin where there is an admin's credential, else as whoever holds the key.
func (d *deps) adminClient(c *cobra.Command) (*client, error) {
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return nil, err
	}
	if cfg.AdminToken != "" && !c.Flags().Changed("key") {
		return newClient(cfg.URL, cfg.AdminToken, "TIDINGS_ADMIN_TOKEN")
	}
	return d.client(c)
}

// userClient speaks as a merchant's user: by the user token, or by one that the key mints for user.
func (d *deps) userClient(c *cobra.Command, user string) (*client, error) {
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return nil, err
	}
	if cfg.Token != "" && (user == "" || c.Flags().Changed("token")) {
		return newClient(cfg.URL, cfg.Token, "TIDINGS_TOKEN")
	}
	if user == "" {
		return nil, errors.New("whose inbox? set TIDINGS_TOKEN (or --token), or name the user with --user and set TIDINGS_KEY")
	}
	app, err := d.client(c)
	if err != nil {
		return nil, err
	}
	token, err := mintToken(c.Context(), app, user, nil)
	if err != nil {
		return nil, err
	}
	return newClient(cfg.URL, token.Token, "the minted token")
}

func newClient(base, credential, as string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("TIDINGS_URL: %q is no http:// or https:// address", base)
	}
	return &client{base: strings.TrimSuffix(base, "/"), credential: credential, as: as,
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// call sends in (JSON, or nothing) and reads the answer into out (or drops it).
func (c *client) call(ctx context.Context, method, path string, in, out any, headers ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no answer within a minute"))
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.open(ctx, method, path, body, headers...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not understood (is TIDINGS_URL a Tidings API?): %w", method, path, err)
	}
	return nil
}

// open sends a request and returns its answer when that is a success; the caller closes the body.
func (c *client) open(ctx context.Context, method, path string, body io.Reader, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.credential)
	req.Header.Set("User-Agent", "tidings-cli")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(c.base, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readProblem(resp, c.as)
}

func unreachable(base string, err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("%s cannot be reached: %w\n  is the API running there? TIDINGS_URL says where to look", base, err)
}

// problem is an application/problem+json answer (RFC 9457).
type problem struct {
	Title     string              `json:"title"`
	Status    int                 `json:"status"`
	Code      string              `json:"code"`
	Detail    string              `json:"detail"`
	Errors    tidings.FieldErrors `json:"errors"`
	RequestID string              `json:"request_id"`
	after     string
	as        string
}

func readProblem(resp *http.Response, as string) error {
	p := &problem{after: resp.Header.Get("Retry-After"), as: as}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err := json.Unmarshal(b, p); err != nil || p.Title == "" && p.Detail == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	p.Status = resp.StatusCode
	return p
}

// Error says what was wrong, each field on a line of its own, and what to do about it.
func (p *problem) Error() string {
	var b strings.Builder
	b.WriteString(or(p.Detail, p.Title))
	for _, f := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s (%s)", f.Field, f.Detail, f.Code)
	}
	if advice := p.advice(); advice != "" {
		b.WriteString("\n  " + advice)
	}
	if p.RequestID != "" {
		b.WriteString("\n  request " + p.RequestID)
	}
	return b.String()
}

func (p *problem) advice() string {
	switch {
	case p.Status == http.StatusUnauthorized:
		return p.as + " was not accepted: it is wrong, revoked or expired"
	case p.Status == http.StatusForbidden:
		return p.as + " may not do this: use a key with the scope, or an admin's credential in TIDINGS_ADMIN_TOKEN"
	case p.after != "":
		return "try again in " + p.after + " s"
	}
	return ""
}

// page is a page of a list.
type page[T any] struct {
	Data []T `json:"data"`
	Page struct {
		After   string `json:"after"`
		Before  string `json:"before"`
		HasMore bool   `json:"has_more"`
	} `json:"page"`
}

// list reads pages until there are limit items or no more; 0 means all. The cursor's name is "after" for lists in order
// of id and "before" for those with the newest first.
func list[T any](ctx context.Context, c *client, path string, query url.Values, cursor string, limit int) ([]T, error) {
	all := []T{}
	if query == nil {
		query = url.Values{}
	}
	for {
		if limit > 0 {
			query.Set("limit", fmt.Sprint(min(limit-len(all), 100)))
		}
		var p page[T]
		if err := c.call(ctx, http.MethodGet, withQuery(path, query), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		next := p.Page.After
		if cursor == "before" {
			next = p.Page.Before
		}
		if !p.Page.HasMore || next == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
		query.Set(cursor, next)
	}
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

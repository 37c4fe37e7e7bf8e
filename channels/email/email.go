// Package email hands mails to a mail server (SMTP submission). SMTP knows no idempotency key: a resend carries the same
// Message-ID, by which mail programs and many servers drop a repeat.
package email

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"tidings"
)

const (
	patience   = 30 * time.Second // of a connection without a sign of the server
	maxSubject = 200              // runes
	maxBody    = 256 << 10        // bytes of a text
)

// Driver offers mail servers.
var Driver = tidings.Driver{
	Provider: "email", Channel: tidings.Email,
	Fields: []tidings.Field{
		{Name: "host", Required: true, Help: "the mail server"},
		{Name: "port", Default: "587", Help: "587: submission; 465: with tls"},
		{Name: "tls", Default: "starttls", Help: "starttls, tls (from the first byte), opportunistic (plain where the server has no TLS) or none"},
		{Name: "authority", Help: "PEM of the authority behind the server's certificate, where it is no public one"},
		{Name: "username", Help: "empty: no login"},
		{Name: "password", Secret: true, Help: "of the login; sent over TLS only"},
		{Name: "from", Required: true, Help: `who sends: "Acme <notice@acme.example>"`},
		{Name: "reply_to", Help: "where answers go; empty: to from"},
		{Name: "domain", Help: "stands in each Message-ID; empty: that of from"},
	},
	Open: open,
}

// policies are the words of the setting tls. Where the connection is TLS from its first byte, the server offers no other.
var policies = map[string]gomail.TLSPolicy{"starttls": gomail.TLSMandatory, "tls": gomail.TLSOpportunistic, "opportunistic": gomail.TLSOpportunistic, "none": gomail.NoTLS}

// Sender is a tidings.Sender over one mail server.
type Sender struct {
	host, domain string
	from         *mail.Address
	replyTo      string
	implicit     bool // TLS from the first byte
	tls          *tls.Config
	options      []gomail.Option
	now          func() time.Time
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	v := s.Values
	from, err := mail.ParseAddress(v["from"])
	if err != nil {
		errs.Add("from", "malformed", "a mail address, with a name or without")
		from = &mail.Address{}
	}
	if _, err := mail.ParseAddress(v["reply_to"]); err != nil && v["reply_to"] != "" {
		errs.Add("reply_to", "malformed", "a mail address")
	}
	port, err := strconv.ParseUint(v["port"], 10, 16)
	if err != nil || port == 0 {
		errs.Add("port", "malformed", "1 to 65535")
	}
	policy, ok := policies[v["tls"]]
	if !ok {
		errs.Add("tls", "unknown", "starttls, tls, opportunistic or none")
	}
	if v["host"] == "" || strings.ContainsAny(v["host"], " /:") && net.ParseIP(v["host"]) == nil {
		errs.Add("host", "malformed", "a host's name or IP address")
	}
	domain := v["domain"]
	if domain == "" {
		_, domain, _ = strings.Cut(from.Address, "@")
	}
	if strings.ContainsAny(domain, " <>@\r\n") {
		errs.Add("domain", "malformed", "a domain")
	}
	secure := &tls.Config{ServerName: v["host"], MinVersion: tls.VersionTLS12}
	if v["authority"] != "" {
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM([]byte(v["authority"])) {
			errs.Add("authority", "malformed", "no certificate in PEM")
		}
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	options := []gomail.Option{gomail.WithPort(int(port)), gomail.WithTimeout(patience), gomail.WithTLSPolicy(policy), gomail.WithoutNoop(), gomail.WithTLSConfig(secure)}
	if v["username"] != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(v["username"]), gomail.WithPassword(v["password"]))
	}
	sender := &Sender{host: v["host"], domain: domain, from: from, replyTo: v["reply_to"], implicit: v["tls"] == "tls", tls: secure, options: options, now: s.Now}
	if _, err := gomail.NewClient(sender.host, options...); err != nil {
		return nil, err
	}
	return sender, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "email" }

// Send hands over one mail, on a connection of its own.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	now := s.now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	m, err := s.mail(c, now)
	if err != nil {
		return tidings.Accepted{}, err
	}
	if err := ctx.Err(); err != nil {
		return tidings.Accepted{}, down(err)
	}
	// The connection is ours, so that it ends with ctx, and so that a mail which was cut short is never completed: the library
	// says goodbye on it, and that would end the text with a period.
	line := &line{}
	defer context.AfterFunc(ctx, line.cut)()
	client, err := gomail.NewClient(s.host, append([]gomail.Option{gomail.WithDialContextFunc(line.dial(s))}, s.options...)...)
	if err != nil {
		return tidings.Accepted{}, down(err)
	}
	connected, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		line.cut()
		return tidings.Accepted{}, ofConnecting(err)
	}
	err = client.SendWithSMTPClient(connected, m)
	if err != nil && !m.IsDelivered() {
		line.cut()
		return tidings.Accepted{}, ofSending(err)
	}
	_ = client.CloseWithSMTPClient(connected) // the mail is theirs, whatever becomes of the goodbye
	line.cut()
	return tidings.Accepted{ProviderID: s.id(c)}, nil
}

// line is the connection under a call.
type line struct {
	mu    sync.Mutex
	conn  net.Conn
	ended bool
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.conn != nil {
		l.conn.Close()
	}
}

// id is the mail's Message-ID: the same in every attempt.
func (s *Sender) id(c tidings.Call) string {
	sum := sha256.Sum256([]byte(c.Message.String() + "\n" + c.User))
	return hex.EncodeToString(sum[:16]) + "@" + s.domain
}

var page = template.Must(template.New("mail").Parse(`<!doctype html><html><head><meta charset="utf-8"></head><body style="font-family:sans-serif;line-height:1.5">
{{with .Title}}<h1 style="font-size:1.2em">{{.}}</h1>
{{end}}<p style="white-space:pre-line">{{.Body}}</p>
{{with .URL}}<p><a href="{{.}}">{{.}}</a></p>
{{end}}{{with .Unsubscribe}}<p style="font-size:.85em"><a href="{{.}}">退订 Unsubscribe</a></p>
{{end}}</body></html>
`))

// mail makes the mail: one text, plain and as HTML, which is escaped from it.
func (s *Sender) mail(c tidings.Call, now time.Time) (*gomail.Msg, error) {
	if c.Content.Body == "" {
		return nil, refused(tidings.TemplateFailed, "the text is empty")
	}
	if n := len(c.Content.Body); n > maxBody {
		return nil, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are mailed", n, maxBody))
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if m.FromFormat(s.from.Name, s.from.Address) != nil || m.To(c.Address.Value) != nil {
		return nil, &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true, Err: errors.New("the address is no mail address")}
	}
	if s.replyTo != "" {
		if err := m.ReplyTo(s.replyTo); err != nil {
			return nil, refused(tidings.Misconfigured, err.Error())
		}
	}
	m.Subject(subject(c.Content))
	m.SetMessageIDWithValue(s.id(c))
	m.SetDateWithValue(now)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence note answers it
	if link(c.Unsubscribe) != "" {
		m.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribe, "<"+c.Unsubscribe+">")
		m.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click") // RFC 8058
	}
	shown := struct{ Title, Body, URL, Unsubscribe string }{c.Content.Title, c.Content.Body, link(c.Content.URL), link(c.Unsubscribe)}
	if strings.Contains(c.Content.Body, c.Unsubscribe) {
		shown.Unsubscribe = "" // the text has it
	}
	plain := shown.Body
	if shown.URL != "" {
		plain += "\n\n" + shown.URL
	}
	if shown.Unsubscribe != "" {
		plain += "\n\n退订 Unsubscribe: " + shown.Unsubscribe
	}
	var html strings.Builder
	if err := page.Execute(&html, shown); err != nil {
		return nil, refused(tidings.TemplateFailed, err.Error())
	}
	m.SetBodyString(gomail.TypeTextPlain, plain)
	m.AddAlternativeString(gomail.TypeTextHTML, html.String())
	return m, nil
}

// subject is the title, or the text's first line, on one line: a header ends where a line does.
func subject(c tidings.Content) string {
	title := c.Title
	if title == "" {
		title, _, _ = strings.Cut(c.Body, "\n")
	}
	title = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, title)
	if runes := []rune(title); len(runes) > maxSubject {
		title = string(runes[:maxSubject-1]) + "…"
	}
	return strings.TrimSpace(title)
}

// link is s if it is a link of the web, else nothing.
func link(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(s, " <>\"\r\n") {
		return ""
	}
	return s
}

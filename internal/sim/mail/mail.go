// Package mail simulates a mail server: it takes mails, checks logins, knows who has a mailbox, and fails in the ways of SMTP. It
// never drops a repeat, because SMTP does not; Shown tells what a mail program shows, which knows a repeat by its Message-ID.
package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Config says how the server behaves.
type Config struct {
	User, Password string      // of the one login; "": nobody need log in
	Nobody         string      // the mailbox that does not exist, by its part before the @; "": "nobody"
	TLS            *tls.Config // offered by STARTTLS; nil: not
	Implicit       bool        // TLS from the first byte instead
	Log            io.Writer
}

// Record is a mail that was taken.
type Record struct {
	To, ID, Subject string
	Header          mail.Header
	Text, HTML      string
}

// Fault is what becomes of the next mail.
type Fault struct {
	At   string        // "connect", "mail", "rcpt", "data" (at its end)
	Code int           // what is answered; 0: nothing, the connection is cut
	Text string        // with an enhanced code at its head: "4.7.1 later"
	Take bool          // at "data": the mail is kept all the same: the answer is lost
	Raw  string        // what is said in place of an answer, before the connection is cut
	Hold chan struct{} // at "data": the mail is kept, and nothing is answered before it is closed
}

// Server is the simulator.
type Server struct {
	config Config
	server *smtp.Server
	done   chan struct{}

	mu      sync.Mutex
	records []Record
	faults  []Fault
}

// Serve starts a server on a listener, until Close.
func Serve(listener net.Listener, c Config) *Server {
	if c.Nobody == "" {
		c.Nobody = "nobody"
	}
	s := &Server{config: c, done: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(s.session))
	s.server.Domain, s.server.AllowInsecureAuth, s.server.EnableSMTPUTF8 = "mail.sim.example", true, true
	s.server.MaxMessageBytes, s.server.ReadTimeout, s.server.WriteTimeout = 4<<20, time.Minute, time.Minute
	s.server.ErrorLog = quiet{}
	if !c.Implicit {
		s.server.TLSConfig = c.TLS
	}
	go func() {
		defer close(s.done)
		s.server.Serve(door{listener, s})
	}()
	return s
}

// door is the listener, which fails before the greeting.
type door struct {
	net.Listener
	s *Server
}

func (d door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f, fails := d.s.fault("connect")
		if !fails {
			if d.s.config.Implicit {
				return tls.Server(conn, d.s.config.TLS), nil
			}
			return conn, nil
		}
		if f.Code != 0 {
			fmt.Fprintf(conn, "%d %s\r\n", f.Code, f.Text)
		}
		conn.Close()
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// Close ends it.
func (s *Server) Close() {
	s.server.Close()
	<-s.done
}

// Run serves until ctx ends: --listen ADDRESS --user USER --password PASSWORD.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mail", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8025", "address")
	c := Config{Log: out}
	flags.StringVar(&c.User, "user", "", "who may log in; empty: nobody need")
	flags.StringVar(&c.Password, "password", "", "of the login")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := Serve(listener, c)
	fmt.Fprintf(out, "mail server at %s\n", listener.Addr())
	<-ctx.Done()
	s.Close()
	return nil
}

// Records lists every mail that was taken.
func (s *Server) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
}

// Shown lists the texts that a mail program shows to somebody: one of each Message-ID.
func (s *Server) Shown(to string) (texts []string) {
	seen := map[string]bool{}
	for _, r := range s.Records() {
		if r.To == to && !seen[r.ID] {
			texts = append(texts, r.Text)
		}
		seen[r.ID] = true
	}
	return texts
}

// Fail sets a fault for the next mail.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// fault takes the next fault if it is one of this moment.
func (s *Server) fault(at string) (f Fault, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 || s.faults[0].At != at {
		return f, false
	}
	f, s.faults = s.faults[0], s.faults[1:]
	return f, true
}

func (f Fault) err(c *smtp.Conn) error {
	if f.Code == 0 {
		io.WriteString(c.Conn(), f.Raw)
		c.Conn().Close()
		return errors.New("cut")
	}
	var x smtp.EnhancedCode
	text := f.Text
	if n, _ := fmt.Sscanf(text, "%d.%d.%d", &x[0], &x[1], &x[2]); n == 3 {
		_, text, _ = strings.Cut(text, " ")
	} else {
		x = smtp.NoEnhancedCode
	}
	return &smtp.SMTPError{Code: f.Code, EnhancedCode: x, Message: text}
}

type session struct {
	s    *Server
	conn *smtp.Conn
	in   bool // logged in
	to   string
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	return &session{s: s, conn: c, in: s.config.User == ""}, nil
}

func (x *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (x *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != x.s.config.User || password != x.s.config.Password {
			return smtp.ErrAuthFailed
		}
		x.in = true
		return nil
	}), nil
}

func (x *session) Reset()        {}
func (x *session) Logout() error { return nil }

func (x *session) Mail(string, *smtp.MailOptions) error {
	if f, ok := x.s.fault("mail"); ok {
		return f.err(x.conn)
	}
	if !x.in {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "log in first"}
	}
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if f, ok := x.s.fault("rcpt"); ok {
		return f.err(x.conn)
	}
	if local, _, _ := strings.Cut(to, "@"); local == x.s.config.Nobody {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	x.to = to
	return nil
}

func (x *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f, fails := x.s.fault("data")
	if !fails || f.Take || f.Hold != nil {
		record, err := read(raw)
		if err != nil {
			return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
		}
		record.To = x.to
		x.s.mu.Lock()
		x.s.records = append(x.s.records, record)
		x.s.mu.Unlock()
		if x.s.config.Log != nil {
			fmt.Fprintf(x.s.config.Log, "mail %s: %s\n%s\n", record.ID, record.Subject, record.Text)
		}
	}
	if f.Hold != nil {
		<-f.Hold
		return nil
	}
	if fails {
		return f.err(x.conn)
	}
	return nil
}

// read takes a mail apart.
func read(raw []byte) (r Record, err error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return r, err
	}
	r.Header, r.ID = m.Header, m.Header.Get("Message-ID")
	if r.Subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return r, err
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return r, fmt.Errorf("%s: %w", kind, errors.Join(err, errors.New("not of two parts")))
	}
	for parts := multipart.NewReader(m.Body, parameters["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		var body io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(p)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return r, err
		}
		clean := strings.ReplaceAll(string(text), "\r\n", "\n")
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			r.HTML = clean
		} else {
			r.Text = clean
		}
	}
}

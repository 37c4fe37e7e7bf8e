package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"tidings"
	"tidings/channels/once"
)

// dial connects and keeps the connection in l, which may have ended meanwhile. TLS from the first byte is done here, because the
// library leaves it to a dialer that it was given.
func (l *line) dial(s *Sender) gomail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		l.conn = conn
		ended := l.ended
		l.mu.Unlock()
		if ended {
			conn.Close()
		}
		if !s.implicit {
			return conn, nil
		}
		secure := tls.Client(conn, s.tls)
		return secure, secure.HandshakeContext(ctx)
	}
}

// ofConnecting judges a connection that came to nothing before a mail was spoken of: no greeting, no TLS, no login.
func ofConnecting(err error) error {
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		cause := fmt.Errorf("the server answered %d: %s", said.Code, once.Excerpt(said.Msg))
		if said.Code < 500 {
			return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, Err: cause}
		}
		return atFault(cause)
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return down(err)
	}
	return atFault(err) // a certificate, a server without TLS, a login that it does not know
}

// ofSending judges a mail that was not plainly taken. An answer of the server is certain at every step. Without one the mail was
// certainly not taken, except when its end may have been written (RFC 5321, 4.1.1.4).
func ofSending(err error) error {
	e, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return down(errors.New("no connection"))
	}
	// The library's text names the recipient, ours must not.
	cause := fmt.Errorf("%s: the server answered %d %s", e.Reason, e.ErrorCode(), e.EnhancedStatusCode())
	code := e.ErrorCode()
	switch {
	case code == 0 && e.Reason == gomail.ErrSMTPDataClose:
		return &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: errors.New("the mail was written and never answered")}
	case code == 0:
		return down(fmt.Errorf("%s: no answer", e.Reason))
	case code < 500: // a full mailbox and a greylist are the recipient's
		return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, OfAddress: e.Reason == gomail.ErrSMTPRcptTo, Err: cause}
	case e.Reason == gomail.ErrSMTPMailFrom || code == 530 || code == 535: // we may not send, or not as this sender
		return atFault(cause)
	case e.Reason == gomail.ErrSMTPRcptTo:
		return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: nobody(code, e.EnhancedStatusCode()), Err: cause}
	case code == 552 || e.EnhancedStatusCode() == "5.3.4":
		return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.TooLong, Err: cause}
	}
	return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused, Err: cause}
}

// nobody tells whether an answer to RCPT TO says that there is no such mailbox: 5.1.x and 5.2.1 where the server has enhanced
// codes (RFC 3463), else 550, 551 and 553. 550 5.7.1 is the server's policy, and may change.
func nobody(code int, enhanced string) bool {
	if enhanced != "" {
		return strings.HasPrefix(enhanced, "5.1.") || enhanced == "5.2.1"
	}
	return code == 550 || code == 551 || code == 553
}

func atFault(cause error) error {
	return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: time.Minute, Configuration: true, Err: cause}
}

func down(cause error) error {
	return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: cause}
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

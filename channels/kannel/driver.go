package kannel

import (
	"net/url"
	"strconv"
	"strings"

	"tidings"
)

// Driver offers Kannel's sendsms for phone numbers.
var Driver = tidings.Driver{
	Provider: "kannel", Channel: tidings.SMS,
	Fields: []tidings.Field{
		{Name: "url", Default: "http://127.0.0.1:13013/cgi-bin/sendsms", Help: "of sendsms"},
		{Name: "user", Required: true, Help: "of Kannel's group sendsms-user"},
		{Name: "password", Secret: true, Required: true, Help: "of that user"},
		{Name: "from", Help: "the sender shown; empty: Kannel's global-sender"},
		{Name: "max_parts", Default: strconv.Itoa(DefaultMaxParts), Help: "parts of the longest SMS; Kannel's max-messages must not be less"},
	},
	Open: open,
}

func open(s tidings.Setup) (tidings.Sender, error) {
	c := Config{URL: s.Values["url"], User: s.Values["user"], Password: s.Values["password"], From: s.Values["from"], Now: s.Now, ReportURL: s.ReportURL}
	var errs tidings.FieldErrors
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs.Add("url", "malformed", "not an http URL")
	}
	for _, name := range []string{"user", "password", "from"} {
		if strings.ContainsFunc(s.Values[name], func(r rune) bool { return r < ' ' || r == 0x7F }) {
			errs.Add(name, "malformed", "holds a control character")
		}
	}
	if text := s.Values["max_parts"]; text != "" {
		var err error
		if c.MaxParts, err = strconv.Atoi(text); err != nil || c.MaxParts < 1 || c.MaxParts > 255 {
			errs.Add("max_parts", "out_of_range", "1 to 255")
		}
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return New(c)
}

package console

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tidings"
)

// preferenceKeys are the texts that the script of the preferences page needs.
var preferenceKeys = []string{"inbox.no-token", "inbox.ended", "inbox.failed", "prefer.saved", "prefer.always", "prefer.none", "prefer.other"}

// getPreferences shows the frame of the page on which a merchant's user says what he wants. What is in it the script reads and
// writes with the user's token, which the message centre keeps in the tab.
func (c *Console) getPreferences(w http.ResponseWriter, r *http.Request) error {
	lang := language(r)
	said, channels := map[string]string{}, [][2]string{}
	for _, key := range preferenceKeys {
		_, short, _ := strings.Cut(key, ".")
		said[short] = say(lang, key)
	}
	for _, ch := range tidings.Channels {
		channels = append(channels, [2]string{string(ch), word(lang, "channel", string(ch))})
	}
	page, err := json.Marshal(map[string]any{"texts": said, "channels": channels})
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, lang, "preferences", "page", pagePolicy, inboxPage{Lang: lang,
		Other: map[string]string{"zh": "en", "en": "zh"}[lang], ForPage: string(page)})
}

// unsubscribePage is what unsubscribe.html shows: never whose link it is.
type unsubscribePage struct {
	Lang, Other string
	Valid       bool
	What        tidings.PreferenceType
	Channel     tidings.Channel
	Muted       bool
	Mandatory   bool
	Done        bool
	Wait        bool
}

// getUnsubscribe shows what a link is about and changes nothing: mail scanners follow every link.
func (c *Console) getUnsubscribe(w http.ResponseWriter, r *http.Request) error {
	return c.unsubscribe(w, r, false)
}

// postUnsubscribe mutes what the link is about, at once: a mail program posts without a person (RFC 8058). With undo it lets it
// through again.
func (c *Console) postUnsubscribe(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseMultipartForm(4 << 10); err != nil && r.PostForm == nil {
		return tidings.Errorf(tidings.Invalid, "the form cannot be read")
	}
	return c.unsubscribe(w, r, true)
}

func (c *Console) unsubscribe(w http.ResponseWriter, r *http.Request, post bool) error {
	lang := language(r)
	p := unsubscribePage{Lang: lang, Other: map[string]string{"zh": "en", "en": "zh"}[lang]}
	show := func(status int) error {
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Robots-Tag", "noindex")
		return write(w, status, lang, "unsubscribe", "page", pagePolicy, p)
	}
	if !c.clicks.may(c.Door.ClientIP(r), c.Now()) {
		p.Wait = true
		w.Header().Set("Retry-After", "10")
		return show(http.StatusTooManyRequests)
	}
	s, ok := c.Link(r.PathValue("token"))
	if !ok {
		return show(http.StatusNotFound)
	}
	var err error
	if post {
		err = c.Platform.Subscribe(r.Context(), s, r.PostForm.Get("undo") == "")
		p.Done = err == nil
	}
	if err == nil || tidings.CodeOf(err) == tidings.Conflict {
		p.What, err = c.Platform.Subscribed(r.Context(), s)
	}
	if tidings.CodeOf(err) == tidings.NotFound { // the user or the type is gone: nobody need know which
		p.Done = false
		return show(http.StatusNotFound)
	}
	if err != nil {
		return err
	}
	p.Valid, p.Channel = true, s.Channel
	for _, ch := range p.What.Muted {
		p.Muted = p.Muted || ch == s.Channel
	}
	for _, ch := range p.What.Mandatory {
		p.Mandatory = p.Mandatory || ch == s.Channel
	}
	return show(http.StatusOK)
}

// clicks bounds how often unsubscribe links are asked for from one network.
type clicks struct {
	mu   sync.Mutex
	from map[netip.Prefix]*tidings.Bucket
}

// clickRate lets an office behind one address click, and nobody try tokens.
var clickRate = tidings.Quota{Rate: 2, Burst: 60}

const clicksRemember = 10_000 // networks; bounds the memory that an attack can take

func (c *clicks) may(ip netip.Addr, now time.Time) bool {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // the zero address, of a unix socket, is a network of its own
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from == nil || len(c.from) >= clicksRemember {
		c.from = map[netip.Prefix]*tidings.Bucket{}
	}
	if c.from[network] == nil {
		c.from[network] = &tidings.Bucket{}
	}
	_, ok := c.from[network].Take(clickRate, 1, now)
	return ok
}

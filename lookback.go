package tidings

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cap bounds how many deliveries a user gets on a channel within any stretch of time. Those that did not reach him do not count.
type Cap struct {
	Channel Channel `json:"channel"`
	Count   int     `json:"count"`
	Window  Seconds `json:"window"`
}

// ParseCap reads a cap as people write it: "sms=3/24h".
func ParseCap(text string) (Cap, error) {
	c, rest, _ := strings.Cut(text, "=")
	number, window, _ := strings.Cut(rest, "/")
	n, err := strconv.Atoi(number)
	d, err2 := time.ParseDuration(window)
	if err != nil || err2 != nil || !Channel(c).Valid() {
		return Cap{}, fmt.Errorf("%q is no channel with a number and a time, like sms=3/24h", text)
	}
	return Cap{Channel(c), n, Seconds(d / time.Second)}, nil
}

// String writes a cap as ParseCap reads it.
func (c Cap) String() string {
	window := c.Window.Duration().String() // "24h0m0s"
	if strings.HasSuffix(window, "m0s") {
		window = window[:len(window)-2]
	}
	if strings.HasSuffix(window, "h0m") {
		window = window[:len(window)-2]
	}
	return string(c.Channel) + "=" + strconv.Itoa(c.Count) + "/" + window
}

// Dedup spares a user a second message that says the same as one before it.
type Dedup struct {
	Window Seconds `json:"window"`        // how long after the first
	Key    string  `json:"key,omitempty"` // what is the same: Liquid over the data; "": the message's collapse_key
}

// Limits of caps and dedup windows.
const (
	maxCaps   = 8                // of a type or a quota
	maxCount  = 1000             // deliveries that a cap may let through, and so the rows it looks back on
	maxWindow = 31 * 24 * 3600   // seconds
	maxDedup  = 1 << 10          // bytes of a key's source
	replaced  = 30 * 24 * 3600e9 // how long an entry of the inbox can be replaced by a newer one
)

func (f *FieldErrors) caps(caps []Cap) {
	if len(caps) > maxCaps {
		f.Add("caps", "too_many", "at most 8")
	}
	for i, c := range caps {
		field := "caps[" + strconv.Itoa(i) + "]"
		if !c.Channel.Valid() {
			f.Add(field+".channel", "unknown", "a channel")
		}
		if c.Count < 1 || c.Count > maxCount {
			f.Add(field+".count", "out_of_range", "1 to 1000 deliveries")
		}
		if c.Window < 1 || c.Window > maxWindow {
			f.Add(field+".window", "out_of_range", "1 to 2678400 seconds")
		}
	}
}

func (f *FieldErrors) dedup(d *Dedup) {
	if d == nil {
		return
	}
	if d.Window < 1 || d.Window > maxWindow {
		f.Add("dedup.window", "out_of_range", "1 to 2678400 seconds")
	}
	if len(d.Key) > maxDedup {
		f.Add("dedup.key", "too_long", "at most 1 KiB")
	}
}

// Lookback names what the commit of a delivery has to look back on, because two of them may be decided on at once. Most have
// none.
type Lookback struct {
	Caps     []Capped
	Dedup    string        // what a delivery that says the same is remembered by; "": nothing
	Window   time.Duration // of Dedup
	Collapse string        // what those that it replaces are remembered by; "": nothing
	Replace  bool          // also in the inbox
}

// Capped is a cap with what the deliveries that it counts are remembered by.
type Capped struct {
	Cap
	What string
}

// lookback is what a delivery on a channel looks back on.
func (p Planning) lookback(c Channel) *Lookback {
	t := p.Type
	if t == nil || t.Caps == nil && p.Caps == nil && p.DedupKey == "" && p.CollapseKey == "" {
		return nil
	}
	var b Lookback
	if !t.Urgent(c) {
		add := func(caps []Cap, what string) {
			for _, x := range caps {
				if x.Channel == c {
					b.Caps = append(b.Caps, Capped{x, what + " " + string(c)})
				}
			}
		}
		add(t.Caps, "cap "+t.Application+" "+t.Name)
		add(p.Caps, "cap "+t.Application+" *")
	}
	if t.Dedup != nil && p.DedupKey != "" {
		b.Dedup, b.Window = "dedup "+digest(t.Application, t.Name, string(c), p.DedupKey), t.Dedup.Window.Duration()
	}
	if p.CollapseKey != "" {
		b.Collapse, b.Replace = "collapse "+digest(t.Application, string(c), p.CollapseKey), t.Replace && c == Web
	}
	if b.Caps == nil && b.Dedup == "" && b.Collapse == "" {
		return nil
	}
	return &b
}

// digest keeps what is in keys, often an order or a person, out of the record.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// Remembered is a delivery that others look back on.
type Remembered struct {
	User    string
	What    string
	Message ID
	Channel Channel
	At      time.Time // when it was to go out
	Until   time.Time // after which nobody looks back on it
	State   State
}

// Past is what is remembered of users while deliveries to them are decided on, under a lock on these users. Only what reached
// them, may have, or still may is in it.
type Past struct {
	Now  time.Time
	rows map[[2]string][]Remembered // by user and what
}

// NewPast returns a Past of what is remembered. Deliveries that came to nothing are left out.
func NewPast(now time.Time, rs []Remembered) *Past {
	p := &Past{Now: now, rows: map[[2]string][]Remembered{}}
	for _, r := range rs {
		if r.State != Failed && r.State != Suppressed && r.State != Canceled && r.State != Expired {
			p.add(r)
		}
	}
	return p
}

func (p *Past) add(r Remembered) {
	key := [2]string{r.User, r.What}
	p.rows[key] = append(p.rows[key], r)
}

// Decide asks of each pending delivery, in the order of their messages, whether what is remembered or the allowance stops it.
// It returns, beside, the older deliveries that the newer ones replace. Those among ds are canceled in place.
func (p *Past) Decide(ds []Delivery, allowance *Allowance) (older []Remembered) {
	order := make([]int, len(ds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ds[a].Message, ds[b].Message) })
	for _, i := range order {
		d := &ds[i]
		p.admit(d)
		if allowance != nil {
			allowance.Admit(d)
		}
		if d.Back == nil || !d.Pending() {
			continue
		}
		for _, r := range p.replaces(*d) {
			j := slices.IndexFunc(ds, func(o Delivery) bool { return o.Message == r.Message && o.User == r.User && o.Channel == r.Channel })
			if j < 0 {
				older = append(older, r)
			} else {
				ds[j].stop(RuleCollapse, Canceled, Collapsed, "a newer one replaces it")
				p.forget(r)
			}
		}
		for _, r := range d.Remembered(p.Now) {
			p.add(r)
		}
	}
	return older
}

// admit stops a delivery that a newer one has replaced, that says what another has said, or that is one too many.
func (p *Past) admit(d *Delivery) {
	b := d.Back
	if b == nil || !d.Pending() {
		return
	}
	at := d.at(p.Now)
	for _, r := range p.rows[[2]string{d.User, b.Collapse}] {
		if b.Collapse != "" && r.Message > d.Message {
			d.stop(RuleCollapse, Canceled, Collapsed, "a newer one replaces it")
			return
		}
	}
	for _, r := range p.rows[[2]string{d.User, b.Dedup}] {
		if b.Dedup != "" && r.Message != d.Message && at.Sub(r.At).Abs() < b.Window {
			d.stop(RuleDuplicate, Suppressed, Duplicate, "message "+r.Message.String()+" says the same")
			return
		}
	}
	for _, c := range b.Caps {
		if !c.allows(p.rows[[2]string{d.User, c.What}], at) {
			d.stop(RuleCap, Suppressed, OverCap, "at most "+strconv.Itoa(c.Count)+" in "+c.Window.Duration().String())
			return
		}
	}
}

// allows tells whether one more at a time leaves no stretch of the window's length with more than the cap counts.
func (c Cap) allows(past []Remembered, at time.Time) bool {
	times := []time.Time{at}
	for _, r := range past {
		if at.Sub(r.At).Abs() < c.Window.Duration() {
			times = append(times, r.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := range times {
		if j := i + c.Count; j < len(times) && times[j].Sub(times[i]) < c.Window.Duration() {
			return false
		}
	}
	return true
}

// replaces are the older deliveries that a delivery takes the place of: those that wait, and in the inbox those that the user has.
func (p *Past) replaces(d Delivery) (older []Remembered) {
	if d.Back.Collapse == "" {
		return nil
	}
	for _, r := range p.rows[[2]string{d.User, d.Back.Collapse}] {
		if r.Message < d.Message && (r.State == Held || r.State == Queued || d.Back.Replace) {
			older = append(older, r)
		}
	}
	return older
}

// forget drops what is remembered of a delivery that will not be sent after all.
func (p *Past) forget(gone Remembered) {
	for key, rows := range p.rows {
		if key[0] == gone.User {
			p.rows[key] = slices.DeleteFunc(rows, func(r Remembered) bool { return r.Message == gone.Message && r.Channel == gone.Channel })
		}
	}
}

// Remembered is what others will look back on of a delivery that is under way.
func (d Delivery) Remembered(now time.Time) (rs []Remembered) {
	b := d.Back
	if b == nil || !d.Pending() {
		return nil
	}
	at := d.at(now)
	add := func(what string, until time.Time) {
		rs = append(rs, Remembered{User: d.User, What: what, Message: d.Message, Channel: d.Channel, At: at, Until: until, State: d.State})
	}
	windows := map[string]time.Duration{}
	for _, c := range b.Caps {
		windows[c.What] = max(windows[c.What], c.Window.Duration())
	}
	for what, window := range windows {
		add(what, at.Add(window))
	}
	if b.Dedup != "" {
		add(b.Dedup, at.Add(b.Window))
	}
	if b.Collapse != "" {
		until := d.ExpiresAt
		if long := at.Add(replaced); b.Replace && until.Before(long) {
			until = long
		}
		add(b.Collapse, until)
	}
	return rs
}

// at is when a delivery goes out, as far as it is planned.
func (d Delivery) at(now time.Time) time.Time {
	if d.State == Held {
		return d.DueAt
	}
	return now
}

package console

import (
	"crypto/rand"
	"net/url"
	"strconv"

	"tidings"
	"tidings/auth"
)

func (c *Console) broadcastRoutes() []route {
	const list, one = root + "/broadcasts", root + "/broadcasts/{id}"
	return []route{
		{"GET", list, auth.OwnAccount, (*visit).getBroadcasts},
		{"GET", list + "/new", auth.SteerBroadcasts, (*visit).newBroadcast},
		{"POST", list, auth.SteerBroadcasts, (*visit).postBroadcast},
		{"GET", one, auth.ReadApplication, (*visit).getBroadcast},
		{"POST", one + "/pause", auth.SteerBroadcasts, steer(tidings.BroadcastPaused, "paused")},
		{"POST", one + "/resume", auth.SteerBroadcasts, steer(tidings.BroadcastRunning, "going")},
		{"POST", one + "/cancel", auth.SteerBroadcasts, steer(tidings.BroadcastCanceled, "canceled")},
		{"POST", one + "/rate", auth.SteerBroadcasts, (*visit).postRate},
		{"GET", one + "/reads", auth.ReadApplication, (*visit).getReads},
		{"GET", one + "/proof", auth.ReadApplication, (*visit).getProof},
	}
}

// broadcastsPage is what broadcasts.html shows.
type broadcastsPage struct {
	Broadcasts   []tidings.Broadcast
	Applications []tidings.Application
	Application  string
	One          bool // only one application can be chosen
	MaySteer     bool
	Newer, Older string
}

func (v *visit) getBroadcasts() error {
	q := v.r.URL.Query()
	apps, err := v.mine()
	if err != nil {
		return err
	}
	p := broadcastsPage{Applications: apps, Application: q.Get("application"), One: v.me.Bound(), MaySteer: v.may(auth.SteerBroadcasts)}
	if p.One && v.me.Application == "" {
		return v.show("broadcasts", v.t("nav.broadcasts"), nil, p)
	}
	application, err := v.scope(p.Application)
	if err != nil {
		return err
	}
	page := tidings.PageQuery{Limit: pageLength, After: cursor(q.Get("after"))}
	if page.After == 0 {
		page.Before = cursor(q.Get("before"))
	}
	more := false
	if p.Broadcasts, more, err = v.Record.Broadcasts(v.r.Context(), application, page); err != nil {
		return err
	}
	if n := len(p.Broadcasts); n > 0 {
		link := func(name string, id tidings.ID) string {
			keep := url.Values{name: {id.String()}}
			if p.Application != "" {
				keep.Set("application", p.Application)
			}
			return root + "/broadcasts?" + keep.Encode()
		}
		if page.Before != 0 || page.After != 0 && more {
			p.Newer = link("after", p.Broadcasts[0].ID)
		}
		if page.After != 0 || more {
			p.Older = link("before", p.Broadcasts[n-1].ID)
		}
	}
	return v.show("broadcasts", v.t("nav.broadcasts"), nil, p)
}

// broadcastPage is what broadcast.html shows.
type broadcastPage struct {
	tidings.Broadcast
	Open     bool // something is still under way: the page asks again
	MaySteer bool
}

// oneBroadcast reads the broadcast that the path names.
func (v *visit) oneBroadcast() (b tidings.Broadcast, application string, err error) {
	id, err := tidings.ParseID(v.r.PathValue("id"))
	if err != nil {
		return b, "", tidings.Errorf(tidings.NotFound, "there is no such broadcast")
	}
	if application, err = v.scope(""); err != nil {
		return b, "", err
	}
	b, err = v.Record.Broadcast(v.r.Context(), application, id)
	return b, application, err
}

func (v *visit) getBroadcast() error {
	b, _, err := v.oneBroadcast()
	if err != nil {
		return err
	}
	p := broadcastPage{Broadcast: b, MaySteer: v.may(auth.SteerBroadcasts)}
	p.Open = b.State == tidings.BroadcastRunning || b.State == tidings.BroadcastPaused
	if v.r.Header.Get("HX-Request") == "true" {
		return v.part("broadcast", "progress", p)
	}
	return v.show("broadcast", b.Type, v.broadcastCrumbs(), p)
}

func (v *visit) broadcastCrumbs() []crumb {
	return []crumb{{v.t("nav.broadcasts"), root + "/broadcasts"}}
}

func steer(to tidings.BroadcastState, done string) func(*visit) error {
	return func(v *visit) error {
		b, application, err := v.oneBroadcast()
		if err != nil {
			return err
		}
		if err := v.Record.SteerBroadcast(v.r.Context(), application, b.ID, to); err != nil {
			return err
		}
		return v.leave(root+"/broadcasts/"+b.ID.String(), done)
	}
}

func (v *visit) postRate() error {
	b, application, err := v.oneBroadcast()
	if err != nil {
		return err
	}
	rate, err := readRate(v.value("rate"))
	if err != nil {
		return err
	}
	if err := v.Record.SetBroadcastRate(v.r.Context(), application, b.ID, rate); err != nil {
		return err
	}
	return v.leave(root+"/broadcasts/"+b.ID.String(), "saved")
}

// readRate reads notifications a second; nothing is no limit.
func readRate(text string) (int, error) {
	n, err := whole("rate", text)
	if err != nil || n > tidings.MaxRate {
		return 0, tidings.FieldErrors{{Field: "rate", Code: "out_of_range", Detail: "0 … " + strconv.Itoa(tidings.MaxRate)}}.Err(tidings.Invalid)
	}
	return n, nil
}

func (v *visit) getProof() error {
	b, application, err := v.oneBroadcast()
	if err != nil {
		return err
	}
	format := "csv"
	if v.r.URL.Query().Get("format") == "jsonl" {
		format = "jsonl"
	}
	return v.Proof(v.r.Context(), v.w, application, b.ID, format)
}

// readsPage is what reads.html shows: a node of the read-rate tree and those below it.
type readsPage struct {
	tidings.Reads
	Rows []readRow
	Next string
}

type readRow struct {
	tidings.ReadNode
	Href string // to what is below it
}

// getReads shows a node of the tree. The way to it stands in the address, and above the page.
func (v *visit) getReads() error {
	b, application, err := v.oneBroadcast()
	if err != nil {
		return err
	}
	self := root + "/broadcasts/" + b.ID.String()
	q := v.r.URL.Query()
	crumbs := append(v.broadcastCrumbs(), crumb{b.Type, self})
	title, at := v.t("reads"), url.Values{}
	place := func(level string) *string {
		value, ok := q[level]
		if !ok {
			return nil
		}
		crumbs = append(crumbs, crumb{title, self + "/reads?" + at.Encode()})
		if title = value[0]; title == "" {
			title = word(v.lang, "nowhere", level)
		}
		at.Set(level, value[0])
		return &value[0]
	}
	rq := tidings.ReadQuery{Region: place("region"), Merchant: place("merchant"), Store: place("store"), After: q.Get("after"), Limit: pageLength}
	p := readsPage{}
	if p.Reads, err = v.Record.Reads(v.r.Context(), application, b.ID, rq); err != nil {
		return err
	}
	for _, n := range p.Nodes {
		row := readRow{ReadNode: n}
		if p.Level != "person" {
			below := url.Values{p.Level: {n.ID}}
			for k, value := range at {
				below[k] = value
			}
			row.Href = self + "/reads?" + below.Encode()
		}
		p.Rows = append(p.Rows, row)
	}
	if p.More {
		at.Set("after", p.Nodes[len(p.Nodes)-1].ID)
		p.Next = self + "/reads?" + at.Encode()
	}
	return v.show("reads", title, crumbs, p)
}

// nonce names a form, so that it is taken once however often it is sent.
func nonce() string { return rand.Text() }

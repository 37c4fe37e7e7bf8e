package comet

import (
	"net/http"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// How long a poll waits for something new.
const (
	defaultWait = 25 * time.Second
	maxWait     = 55 * time.Second // proxies give up after 60 s
)

// Routes registers the node's handlers. They bring their own CORS, by the token's application; the mux must not be behind
// a middleware.Door whose Origins refuse these pages.
func (n *Node) Routes(mux *http.ServeMux, serve func(middleware.Handler) http.Handler) {
	for pattern, h := range n.routes() {
		mux.Handle(pattern, serve(h))
	}
	mux.Handle("OPTIONS /comet/", serve(n.servePreflight))
}

// routes are what openapi.yaml describes.
func (n *Node) routes() map[string]middleware.Handler {
	all := map[string]middleware.Handler{"POST /comet/ack": n.serveAck, "POST /comet/ticket": n.serveTicket}
	for t := range transports {
		all["GET /comet/"+t.String()] = func(w http.ResponseWriter, r *http.Request) error { return n.connect(w, r, t) }
	}
	for name := range Modules {
		all["GET /comet/"+name] = serveModule(name)
	}
	return all
}

// checkOrigin answers pages of foreign origins only if the token's application lists them.
func (n *Node) checkOrigin(w http.ResponseWriter, r *http.Request, claims auth.Claims) error {
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "http://"+r.Host || origin == "https://"+r.Host {
		return nil
	}
	w.Header().Set("Vary", "Origin")
	w.Header().Del("Access-Control-Allow-Origin") // the door allows what any application lists
	if !n.AllowOrigin(r.Context(), origin, claims.Application) {
		return tidings.Errorf(tidings.Forbidden, "pages of this origin may not use tokens of the application")
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	return nil
}

// servePreflight answers the question before the request, which carries no token: whether any application lists the origin.
func (n *Node) servePreflight(w http.ResponseWriter, r *http.Request) error {
	if err := n.checkOrigin(w, r, auth.Claims{}); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// request is what a client asks for when it connects.
type request struct {
	claims auth.Claims
	client string
	cursor string // "": begin at the end
	wait   time.Duration
}

func (n *Node) parse(w http.ResponseWriter, r *http.Request) (request, error) {
	query := r.URL.Query()
	q := request{client: query.Get("client"), cursor: query.Get("cursor")}
	var err error
	if q.claims, err = n.authenticate(r); err != nil {
		return q, err
	}
	if err := n.checkOrigin(w, r, q.claims); err != nil {
		return q, err
	}
	// EventSource reconnects with the URL it was given and the id it saw last.
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		q.cursor = last
	}
	var errs tidings.FieldErrors
	if !tidings.ValidName(q.client) {
		errs.Add("client", "malformed", "1 to 64 letters, digits and ._:@-, random for each browser profile")
	}
	if q.wait, err = parseWait(query.Get("wait")); err != nil {
		errs.Add("wait", "malformed", "a duration of 0s to 55s")
	}
	if r.ContentLength != 0 {
		errs.Add("body", "unknown", "this request has no body")
	}
	return q, errs.Err(tidings.Invalid)
}

// parseWait reads "25s", or whole seconds.
func parseWait(s string) (time.Duration, error) {
	if s == "" {
		return defaultWait, nil
	}
	if seconds, err := strconv.Atoi(s); err == nil {
		s = strconv.Itoa(seconds) + "s"
	}
	d, err := time.ParseDuration(s)
	if err == nil && (d < 0 || d > maxWait) {
		err = strconv.ErrRange
	}
	return d, err
}

// serveAck answers POST /comet/ack: the client has everything up to the cursor.
func (n *Node) serveAck(w http.ResponseWriter, r *http.Request) error {
	if err := n.Ready(); err != nil {
		return unavailable(nil)
	}
	claims, err := n.bearer(r)
	if err != nil {
		return err
	}
	if err := n.checkOrigin(w, r, claims); err != nil {
		return err
	}
	body, err := middleware.ReadBody(w, r, 4<<10)
	if err != nil {
		return err
	}
	var ack struct {
		Client string `json:"client"`
		Cursor string `json:"cursor"`
	}
	if err := middleware.Decode(body, &ack); err != nil {
		return err
	}
	cursor, err := ParseCursor(ack.Cursor)
	if err != nil {
		return err
	}
	if err := n.acknowledge(r, claims, ack.Client, cursor); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// acknowledge notes an acknowledgement that is not above what was sent to the client: by this node if it is here, else at
// most the head of the list.
func (n *Node) acknowledge(r *http.Request, claims auth.Claims, client string, cursor Cursor) error {
	limit, here := n.sent(claims.User, client)
	if !here {
		head, err := n.heads.get(r.Context(), claims.User)
		if err == nil && cursor.Number > head {
			head, err = n.listed.get(r.Context(), claims.User)
		}
		if err != nil {
			return unavailable(err)
		}
		limit = head
	}
	if cursor.Epoch != *n.epoch.Load() || cursor.Number > limit {
		return neverSent()
	}
	n.received(claims.User, claims.Types, cursor)
	return nil
}

func neverSent() error {
	return tidings.FieldErrors{{
		Field: "cursor", Code: "out_of_range", Detail: "nothing was sent to this client up to there",
	}}.Err(tidings.Invalid)
}

// received notes what a client has. A token that shows only some types says nothing about the numbers of the others, and
// an acknowledgement speaks of all up to its number: so it is not written.
func (n *Node) received(user string, types []string, cursor Cursor) {
	if len(types) == 0 && cursor.Number > 0 {
		n.acks.add(user, cursor.Number)
	}
}

// sent is the last number that was sent to the client over its connection here.
func (n *Node) sent(user, client string) (number int64, here bool) {
	sh := n.shards.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[user]
	if g == nil {
		return 0, false
	}
	for _, c := range g.conns {
		if c.client == client && c.next > 0 && c.transport != poll {
			number, here = max(number, c.next-1), true
		}
	}
	return number, here
}

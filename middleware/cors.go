package middleware

import (
	"net/http"
	"net/url"

	"tidings"
)

// cors answers preflights and refuses pages of origins that are not on the allow-list. It tells whether the request is
// done with. Credentials mode is never allowed: tokens travel in the Authorization header, not in cookies.
func (d *Door) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	w.Header().Add("Vary", "Origin")
	if sameOrigin(origin, r.Host) {
		return false
	}
	if d.Origins == nil || !d.Origins(r.Context(), origin) {
		d.Answer(w, r, tidings.Errorf(tidings.Forbidden, "pages of this origin may not call here"))
		return true
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, Idempotent-Replayed")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// sameOrigin compares the page's host with the one that was asked; the scheme is the proxy's matter.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == host
}

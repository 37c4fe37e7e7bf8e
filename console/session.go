package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/auth"
)

const (
	sessionCookie = "tidings_session"
	sessionTime   = 12 * time.Hour // a working day; then the admin signs in again
	sessionMark   = "console"      // tells a sealed session from whatever else is sealed with the same key
)

// principal tells which admin or operator asks: by a session's cookie, else by the Authorization header.
func (c *Console) principal(r *http.Request) (auth.Principal, error) {
	p, err := c.bySession(r)
	if errors.Is(err, http.ErrNoCookie) {
		p, err = c.Auth.Authenticate(r)
	}
	if err != nil {
		return auth.Principal{}, err
	}
	if p.Kind != auth.Admin {
		return auth.Principal{}, tidings.Errorf(tidings.Forbidden, "this is for admins and operators")
	}
	return p, nil
}

// bySession reads the cookie. The credential in it is looked up again each time, so that a session ends with the key or
// admin token that it began with.
func (c *Console) bySession(r *http.Request) (auth.Principal, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return auth.Principal{}, err
	}
	ended := tidings.Errorf(tidings.Unauthenticated, "the session has ended")
	text, err := c.Sealer.Open(cookie.Value)
	if err != nil {
		return auth.Principal{}, ended
	}
	parts := strings.SplitN(text, " ", 3)
	if len(parts) != 3 || parts[0] != sessionMark {
		return auth.Principal{}, ended
	}
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || c.Now().Unix() >= until {
		return auth.Principal{}, ended
	}
	return c.Auth.Bearer(r.Context(), parts[2])
}

// login begins a session for who knows the admin token or an admin's key.
func (c *Console) login(w http.ResponseWriter, r *http.Request) error {
	ip := c.Door.ClientIP(r)
	if wait := c.failures.wait(ip); wait > 0 {
		return &tidings.Error{Code: tidings.TooMany, Detail: "too many wrong tokens from this address", After: wait}
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		return tidings.Errorf(tidings.Invalid, "the form cannot be read")
	}
	token, next := strings.TrimSpace(r.PostForm.Get("token")), localPath(r.PostForm.Get("next"))
	p, err := c.Auth.Bearer(r.Context(), token)
	if err != nil || p.Kind != auth.Admin {
		if err != nil && tidings.CodeOf(err) == "" { // ours, not a wrong token
			return err
		}
		c.failures.add(ip)
		return page(w, http.StatusUnauthorized, "login.html", pagePolicy, loginPage{Next: next, Wrong: true})
	}
	until := c.Now().Add(sessionTime)
	c.setCookie(w, r, c.Sealer.Seal(sessionMark+" "+strconv.FormatInt(until.Unix(), 10)+" "+token), int(sessionTime.Seconds()))
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) error {
	c.setCookie(w, r, "", -1)
	http.Redirect(w, r, dashboardRoot, http.StatusSeeOther)
	return nil
}

func (c *Console) setCookie(w http.ResponseWriter, r *http.Request, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"})
}

// loginPage is what login.html shows.
type loginPage struct {
	Next  string
	Wrong bool // the token that was tried
}

// localPath keeps next within the dashboard, so that a link to our login cannot lead elsewhere.
func localPath(next string) string {
	if next != dashboardRoot && !strings.HasPrefix(next, dashboardRoot+"/") || strings.Contains(next, "\\") {
		return dashboardRoot
	}
	return next
}

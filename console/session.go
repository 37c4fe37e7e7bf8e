package console

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

const (
	sessionCookie  = "tidings_session"
	languageCookie = "tidings_lang"
	languageTime   = 365 * 24 * 3600 // seconds
)

// person tells who of the people asks: by a session's cookie, else by the Authorization header.
func (c *Console) person(r *http.Request) (auth.Principal, error) {
	p, err := c.bySession(r)
	if errors.Is(err, http.ErrNoCookie) {
		p, err = c.Auth.Authenticate(r)
	}
	if err != nil {
		return auth.Principal{}, err
	}
	if p.Kind != auth.Admin {
		return auth.Principal{}, tidings.Errorf(tidings.Forbidden, "the console is for people with an account")
	}
	return p, nil
}

func (c *Console) bySession(r *http.Request) (auth.Principal, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return auth.Principal{}, err
	}
	return c.Auth.Session(r.Context(), cookie.Value)
}

// signIn is what sign-in.html shows.
type signIn struct {
	Next    string
	Account string
	Wrong   bool // the account or password that was tried
	Ended   bool // there was a session
	Wait    int  // seconds until another try
}

func (v *visit) signInPage(status int, s signIn) error {
	_, err := v.r.Cookie(sessionCookie)
	s.Ended = err == nil && status == http.StatusUnauthorized && !s.Wrong
	s.Next = localPath(s.Next)
	return write(v.w, status, v.lang, "sign-in", "page", pagePolicy, s)
}

func (c *Console) getSignIn(w http.ResponseWriter, r *http.Request) error {
	v := &visit{Console: c, w: w, r: r, lang: language(r)}
	return v.signInPage(http.StatusOK, signIn{Next: r.URL.Query().Get("next")})
}

// postSignIn begins a session for who knows an account's password, or the first admin's token.
func (c *Console) postSignIn(w http.ResponseWriter, r *http.Request) error {
	v := &visit{Console: c, w: w, r: r, lang: language(r)}
	if err := v.readForm(); err != nil {
		return err
	}
	s := signIn{Next: v.value("next"), Account: v.value("account")}
	token, p, err := c.Auth.SignIn(auth.WithAddress(r.Context(), c.Door.ClientIP(r)), s.Account, r.PostForm.Get("password"))
	if e, ok := errors.AsType[*tidings.Error](err); ok {
		switch e.Code {
		case tidings.TooMany:
			s.Wait = max(1, int(e.After.Seconds()))
			v.retryAfter(e.After)
			return v.signInPage(http.StatusTooManyRequests, s)
		case tidings.Unauthenticated, tidings.Forbidden, tidings.NotFound, tidings.Invalid:
			s.Wrong = true
			return v.signInPage(http.StatusUnauthorized, s)
		}
	}
	if err != nil {
		return err
	}
	setCookie(w, r, sessionCookie, token, int(auth.SessionTime.Seconds()))                  // or sooner: auth decides
	if a, err := c.Platform.Account(r.Context(), p.Account); err == nil && a.Locale != "" { // the admin token has no account
		setCookie(w, r, languageCookie, a.Locale, languageTime)
	}
	http.Redirect(w, r, localPath(s.Next), http.StatusSeeOther)
	return nil
}

func (c *Console) postSignOut(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if err := c.Auth.SignOut(r.Context(), cookie.Value); err != nil && tidings.CodeOf(err) == "" {
			return err
		}
	}
	setCookie(w, r, sessionCookie, "", -1)
	http.Redirect(w, r, root+"/sign-in", http.StatusSeeOther)
	return nil
}

// postLanguage keeps the language that a person chose in a cookie: it is the browser's, signed in or not.
func (c *Console) postLanguage(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return tidings.Errorf(tidings.Invalid, "the form cannot be read")
	}
	lang := r.PostForm.Get("lang")
	if lang != "zh" && lang != "en" {
		return tidings.Errorf(tidings.Invalid, "the languages are zh and en")
	}
	setCookie(w, r, languageCookie, lang, languageTime)
	http.Redirect(w, r, withoutLanguage(localPath(r.PostForm.Get("next"))), http.StatusSeeOther)
	return nil
}

// withoutLanguage takes ?lang= out of an address: it would go before the language that was just chosen.
func withoutLanguage(path string) string {
	u, err := url.Parse(path)
	if err != nil {
		return root
	}
	q := u.Query()
	q.Del("lang")
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// language is that of ?lang=, else the one chosen before, else the browser's first of ours.
func language(r *http.Request) string {
	if asked := r.URL.Query().Get("lang"); asked == "zh" || asked == "en" {
		return asked
	}
	if c, err := r.Cookie(languageCookie); err == nil && (c.Value == "zh" || c.Value == "en") {
		return c.Value
	}
	for l := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		switch l = strings.TrimSpace(l); {
		case strings.HasPrefix(l, "zh"):
			return "zh"
		case strings.HasPrefix(l, "en"):
			return "en"
		}
	}
	return "en"
}

func setCookie(w http.ResponseWriter, r *http.Request, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"})
}

// localPath keeps next within our pages, so that a link to our sign-in cannot lead elsewhere.
func localPath(next string) string {
	path, _, _ := strings.Cut(next, "?")
	for _, place := range []string{root, dashboardRoot, "/inbox"} {
		if (path == place || strings.HasPrefix(path, place+"/")) && !strings.ContainsAny(next, "\\\r\n") && path != root+"/sign-in" {
			return next
		}
	}
	return root
}

// sameOrigin refuses what another site's page sends with our cookie. SameSite=Strict already keeps the cookie away; this
// holds where a browser does not know it.
func sameOrigin(h http.Handler) http.Handler { return http.NewCrossOriginProtection().Handler(h) }

// open is a route that needs nobody signed in.
func (c *Console) open(h middleware.Handler) http.Handler {
	return c.Door.Wrap(sameOrigin(c.Door.Serve(h)))
}

// retryAfter tells programs when another try may be worth it.
func (v *visit) retryAfter(d time.Duration) {
	v.w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))))
}

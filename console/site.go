package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// route is one method on one path of the console, and what it lets people do. Who may do that is auth.Roles' to say.
type route struct {
	method, path string
	act          auth.Action
	handle       func(v *visit) error
}

// visit is one request to the console by somebody who is signed in.
type visit struct {
	*Console
	w    http.ResponseWriter
	r    *http.Request
	me   auth.Principal
	lang string
}

// guard lets a route's handler work only for those who may do what the route is for. A developer or viewer of one
// application meets another's as if it did not exist.
func (c *Console) guard(route route) middleware.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		v := &visit{Console: c, w: w, r: r, lang: language(r)}
		var err error
		if v.me, err = c.person(r); err == nil {
			if err = auth.May(v.me, route.act, v.app()); err != nil && r.Method == http.MethodPost {
				err = c.refusedTo(v, route.act, err)
			}
		}
		if err == nil {
			err = checkQuery(r)
		}
		if err == nil && r.Method == http.MethodPost {
			err = v.readForm()
		}
		if err == nil {
			v.r = r.WithContext(tidings.WithActor(r.Context(), v.me.Actor("console")))
			err = route.handle(v)
		}
		if err != nil {
			return v.fail(err)
		}
		return nil
	}
}

// checkQuery refuses what no field holds.
func checkQuery(r *http.Request) error {
	for name, values := range r.URL.Query() {
		for _, value := range values {
			if !tidings.Storable(value) {
				return tidings.FieldErrors{{Field: tidings.Clip(name, 64), Code: "malformed", Detail: "UTF-8 without NUL"}}.Err(tidings.Invalid)
			}
		}
	}
	return nil
}

// refusedTo notes in the audit log that somebody tried to change what his role may not, and returns why.
func (c *Console) refusedTo(v *visit, act auth.Action, why error) error {
	ctx := tidings.WithActor(v.r.Context(), v.me.Actor("console"))
	if err := c.Platform.Refused(ctx, string(act), "POST "+tidings.Clip(v.r.URL.Path, 64), why); err != nil {
		return err
	}
	return why
}

// may tells whether the visitor may do something, with the application that the path names.
func (v *visit) may(act auth.Action) bool { return auth.May(v.me, act, v.app()) == nil }

// app is the application that the path names.
func (v *visit) app() string { return v.r.PathValue("app") }

// maxForm bounds what a form may bring: a template's three sources are the largest.
const maxForm = 256 << 10

func (v *visit) readForm() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		return tidings.Errorf(tidings.Invalid, "the form cannot be read")
	}
	return nil
}

// value is a field of the form, without what people leave around it.
func (v *visit) value(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }

// fail answers a visit that went wrong with a page that says so; whoever is not signed in gets the sign-in page.
func (v *visit) fail(err error) error {
	if tidings.CodeOf(err) == tidings.Unauthenticated {
		next := root // what a form would have done cannot be asked for again
		if v.r.Method == http.MethodGet {
			next = v.r.URL.RequestURI()
		}
		return v.signInPage(http.StatusUnauthorized, signIn{Next: next})
	}
	p := middleware.ProblemOf(err)
	if v.me.Kind == "" || v.r.Context().Err() != nil {
		return err // nobody to show a page to: the door answers
	}
	if p.Status >= http.StatusInternalServerError {
		p.RequestID = middleware.RequestID(v.w)
		v.Door.Logger.Error("a page failed", "error", err, "request_id", p.RequestID, "method", v.r.Method, "route", v.r.Pattern)
	}
	return v.showAt(p.Status, "problem", say(v.lang, "problem.title"), nil, p)
}

// frame is what the layout shows around a page.
type frame struct {
	Title   string
	Crumbs  []crumb
	Me      auth.Principal
	Who     string
	Nav     []navItem
	Path    string
	Lang    string
	Other   string
	Done    string              // what was just done, to be said at the top
	Problem *middleware.Problem // what was wrong with the form
	Data    any
}

// crumb is a step on the way to a page.
type crumb struct{ Text, Href string }

type navItem struct {
	Key, Href string
	Current   bool
}

// show answers with a page.
func (v *visit) show(page, title string, crumbs []crumb, data any) error {
	return v.showAt(http.StatusOK, page, title, crumbs, data)
}

func (v *visit) showAt(status int, page, title string, crumbs []crumb, data any) error {
	return write(v.w, status, v.lang, page, "frame", pagePolicy, v.frame(title, crumbs, data))
}

// showWrong answers a form that cannot be taken with its page, what was filled in, and what is wrong with it. A fault of
// ours is returned.
func (v *visit) showWrong(err error, page, title string, crumbs []crumb, data any) error {
	if _, told := errors.AsType[*tidings.Error](err); !told {
		return err
	}
	f, p := v.frame(title, crumbs, data), middleware.ProblemOf(err)
	f.Problem = &p
	return write(v.w, p.Status, v.lang, page, "frame", pagePolicy, f)
}

// part answers with one part of a page, for htmx.
func (v *visit) part(page, part string, data any) error {
	return write(v.w, http.StatusOK, v.lang, page, part, pagePolicy, data)
}

func (v *visit) frame(title string, crumbs []crumb, data any) frame {
	f := frame{Title: title, Crumbs: crumbs, Me: v.me, Who: v.who(), Nav: v.nav(), Path: v.r.URL.RequestURI(), Lang: v.lang,
		Other: map[string]string{"zh": "en", "en": "zh"}[v.lang], Data: data}
	if v.r.Method != http.MethodGet {
		f.Path = root
	}
	if done := v.r.URL.Query().Get("done"); doneWords[done] {
		f.Done = say(v.lang, "done."+done)
	}
	return f
}

// who names the person in the frame.
func (v *visit) who() string {
	if v.me.Account != "" {
		return v.me.Account
	}
	return string(v.me.Role)
}

// leave sends the browser on after a form was taken, so that a reload does not send it again. done names what to say there.
func (v *visit) leave(path, done string) error {
	if done != "" {
		path += "?" + url.Values{"done": {done}}.Encode()
	}
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// t is a word or sentence in the visitor's language.
func (v *visit) t(key string, args ...any) string { return say(v.lang, key, args...) }

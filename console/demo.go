package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"tidings"
	"tidings/middleware"
)

// Demo is the page on which a person watches messages arrive. It lets anyone who reaches it act as one of the demo's
// users, which is why only a demo has it.
type Demo struct {
	Users []DemoUser
	// Mint makes a user token for one of the users.
	Mint func(user string) (token string, until time.Time, err error)
	// Send accepts the example of that name, addressed to the user.
	Send func(ctx context.Context, example, user, locale string) (tidings.ID, error)
}

// DemoUser is a user whom the demo lets a person be.
type DemoUser struct{ ID, Name string }

// Examples are the messages that the demo page offers to send.
var Examples = []string{"refund", "code", "notice"}

func (c *Console) demoRoutes(serve func(string, middleware.Handler)) {
	serve("GET /{$}", func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/demo", http.StatusSeeOther)
		return nil
	})
	serve("GET /demo", c.demoPage)
	serve("POST /demo/token", c.demoToken)
	serve("POST /demo/send", c.demoSend)
}

// demoPageData is what demo.html shows.
type demoPageData struct {
	Lang     string
	Other    string // the other language
	Texts    map[string]string
	ForPage  string // the texts as JSON, for the script
	Users    []DemoUser
	User     string
	Examples []string
	CometURL string
}

func (c *Console) demoPage(w http.ResponseWriter, r *http.Request) error {
	lang := language(r)
	user := c.Demo.Users[0].ID
	if asked := r.URL.Query().Get("user"); c.isDemoUser(asked) {
		user = asked
	}
	texts, err := json.Marshal(demoTexts[lang])
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, lang, "demo", "page", c.cometPolicy(), demoPageData{Lang: lang, Other: map[string]string{"zh": "en", "en": "zh"}[lang],
		Texts: demoTexts[lang], ForPage: string(texts), Users: c.Demo.Users, User: user, Examples: Examples, CometURL: c.CometURL})
}

func (c *Console) isDemoUser(id string) bool {
	return slices.ContainsFunc(c.Demo.Users, func(u DemoUser) bool { return u.ID == id })
}

// demoRequest is what the demo page posts.
type demoRequest struct {
	User    string `json:"user"`
	Example string `json:"example"`
	Locale  string `json:"locale"`
}

func (c *Console) readDemoRequest(w http.ResponseWriter, r *http.Request) (demoRequest, error) {
	var in demoRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, tidings.Errorf(tidings.Invalid, "the body is no request of the demo page")
	}
	if !c.isDemoUser(in.User) {
		return in, tidings.Errorf(tidings.NotFound, "the demo has no such user")
	}
	return in, nil
}

func (c *Console) demoToken(w http.ResponseWriter, r *http.Request) error {
	in, err := c.readDemoRequest(w, r)
	if err != nil {
		return err
	}
	token, until, err := c.Demo.Mint(in.User)
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"token": token, "expires_at": until})
}

func (c *Console) demoSend(w http.ResponseWriter, r *http.Request) error {
	in, err := c.readDemoRequest(w, r)
	if err != nil {
		return err
	}
	if !slices.Contains(Examples, in.Example) {
		return tidings.Errorf(tidings.Invalid, "the demo has no such example")
	}
	id, err := c.Demo.Send(r.Context(), in.Example, in.User, in.Locale)
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"id": id})
}

package console

import (
	"net/url"
	"time"

	"tidings"
	"tidings/auth"
)

func (c *Console) messageRoutes() []route {
	return []route{
		{"GET", root + "/messages", auth.OwnAccount, (*visit).getMessages},
		{"GET", root + "/messages/{id}", auth.ReadApplication, (*visit).getMessage},
		{"POST", root + "/messages/{id}/cancel", auth.CancelMessages, (*visit).cancelMessage},
	}
}

const pageLength = 50

// scope narrows what is read to the visitor's application; named is the one he asks for.
func (v *visit) scope(named string) (string, error) {
	if !v.me.Bound() {
		return named, nil
	}
	if v.me.Application == "" || named != "" && named != v.me.Application {
		return "", tidings.Errorf(tidings.NotFound, "there is no such application")
	}
	return v.me.Application, nil
}

// messagesPage is what messages.html shows.
type messagesPage struct {
	Messages     []tidings.MessageStatus
	Applications []tidings.Application
	Application  string
	Type         string
	Since        string
	One          bool // only one application can be chosen
	Newer, Older string
}

func (v *visit) getMessages() error {
	q := v.r.URL.Query()
	apps, err := v.mine()
	if err != nil {
		return err
	}
	p := messagesPage{Applications: apps, Application: q.Get("application"), Type: q.Get("type"), Since: q.Get("since"), One: v.me.Bound()}
	if p.One && v.me.Application == "" {
		return v.show("messages", v.t("nav.messages"), nil, p)
	}
	mq := tidings.MessageQuery{Type: p.Type, PageQuery: tidings.PageQuery{Limit: pageLength}}
	if mq.Application, err = v.scope(p.Application); err != nil {
		return err
	}
	if p.Since != "" {
		if mq.Since, err = time.Parse(time.DateOnly, p.Since); err != nil {
			return tidings.FieldErrors{{Field: "since", Code: "malformed", Detail: "a day such as 2026-01-31"}}.Err(tidings.Invalid)
		}
	}
	mq.After, mq.Before = cursor(q.Get("after")), cursor(q.Get("before"))
	if mq.After != 0 {
		mq.Before = 0
	}
	items, more, err := v.Record.Messages(v.r.Context(), mq)
	if err != nil {
		return err
	}
	p.Messages = items
	if n := len(items); n > 0 {
		link := func(name string, id tidings.ID) string {
			keep := url.Values{name: {id.String()}}
			for _, k := range []string{"application", "type", "since"} {
				if q.Get(k) != "" {
					keep.Set(k, q.Get(k))
				}
			}
			return root + "/messages?" + keep.Encode()
		}
		if mq.Before != 0 || mq.After != 0 && more {
			p.Newer = link("after", items[0].ID)
		}
		if mq.After != 0 || more {
			p.Older = link("before", items[n-1].ID)
		}
	}
	return v.show("messages", v.t("nav.messages"), nil, p)
}

// cursor reads where a page begins; what is none is the beginning.
func cursor(s string) tidings.ID {
	id, err := tidings.ParseID(s)
	if err != nil {
		return 0
	}
	return id
}

// messagePage is what message.html shows.
type messagePage struct {
	tidings.MessageStatus
	Deliveries []tidings.DeliveryTrace
	Next       string
	After      string
	Open       bool // something is still under way: the page asks again
	MayCancel  bool
}

func (v *visit) message() (p messagePage, err error) {
	id, err := tidings.ParseID(v.r.PathValue("id"))
	if err != nil {
		return p, tidings.Errorf(tidings.NotFound, "there is no such message")
	}
	application, err := v.scope("")
	if err != nil {
		return p, err
	}
	if p.MessageStatus, err = v.Record.Message(v.r.Context(), application, id); err != nil {
		return p, err
	}
	if p.After = v.r.URL.Query().Get("after"); !tidings.ValidName(p.After) {
		p.After = ""
	}
	more := false
	if p.Deliveries, more, err = v.Record.Deliveries(v.r.Context(), application, id, p.After, pageLength); err != nil {
		return p, err
	}
	if n := len(p.Deliveries); more && n > 0 {
		p.Next = root + "/messages/" + id.String() + "?" + url.Values{"after": {p.Deliveries[n-1].User}}.Encode()
	}
	p.Open = p.Status == "accepted" || p.Status == "processing"
	p.MayCancel = p.Open && v.may(auth.CancelMessages)
	return p, nil
}

func (v *visit) getMessage() error {
	p, err := v.message()
	if err != nil {
		return err
	}
	if v.r.Header.Get("HX-Request") == "true" {
		return v.part("message", "trace", p)
	}
	return v.show("message", p.Type, []crumb{{v.t("nav.messages"), root + "/messages"}}, p)
}

func (v *visit) cancelMessage() error {
	id, err := tidings.ParseID(v.r.PathValue("id"))
	if err != nil {
		return tidings.Errorf(tidings.NotFound, "there is no such message")
	}
	application, err := v.scope("")
	if err != nil {
		return err
	}
	if _, err := v.Record.Cancel(v.r.Context(), application, id); err != nil {
		return err
	}
	return v.leave(root+"/messages/"+id.String(), "canceled")
}

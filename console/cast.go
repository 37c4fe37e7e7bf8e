package console

import (
	"encoding/json"
	"strings"
	"time"

	"tidings"
)

// castPage is what cast.html shows: the form for a broadcast as it was filled in. It is the form for a message, with more.
type castPage struct {
	sendPage
	Everyone    bool
	MayEveryone bool
	Rate        string
	MustRead    bool
	Remind      string
	SendAt      string // local times of the form, in Zone
	ExpiresAt   string
	Zone        string
	Nonce       string
}

func (v *visit) newBroadcast() error {
	q := v.r.URL.Query()
	send, typ, err := v.sendPage(q.Get("application"), q.Get("type"))
	if err != nil {
		return err
	}
	send.Data = exampleData(typ)
	p := castPage{sendPage: send, MayEveryone: !v.me.Bound(), Nonce: nonce()}
	return v.show("cast", v.t("broadcast.new"), v.broadcastCrumbs(), p)
}

func (v *visit) postBroadcast() error {
	send, typ, err := v.sendPage(v.value("application"), v.value("type"))
	if err != nil {
		return err
	}
	send.Users, send.Stores, send.Merchants, send.Data, send.Chosen = v.value("users"), v.value("stores"), v.value("merchants"), v.value("data"), v.channels("channels")
	p := castPage{sendPage: send, MayEveryone: !v.me.Bound(), Everyone: v.value("everyone") != "", Rate: v.value("rate"), MustRead: v.value("must_read") != "",
		Remind: v.value("remind"), SendAt: v.value("send_at"), ExpiresAt: v.value("expires_at"), Zone: v.value("zone"), Nonce: v.value("nonce")}
	if p.Application == "" || p.Application != v.value("application") || typ.Name != v.value("type") {
		return tidings.Errorf(tidings.NotFound, "there is no such message type")
	}
	message, err := p.message()
	if err == nil && v.value("act") == "preview" {
		var preview tidings.Preview
		body, _ := json.Marshal(message) //nolint:errcheck // it was made of JSON
		if preview, err = v.Preview(v.r.Context(), p.Application, body); err == nil {
			p.Preview = &preview
			return v.show("cast", v.t("broadcast.new"), v.broadcastCrumbs(), p)
		}
	}
	var id tidings.ID
	if err == nil {
		id, err = v.send(p, message)
	}
	if err != nil {
		p.Nonce = nonce()
		return v.showWrong(err, "cast", v.t("broadcast.new"), v.broadcastCrumbs(), p)
	}
	return v.leave(root+"/broadcasts/"+id.String(), "sent")
}

// send accepts the broadcast that the form stands for.
func (v *visit) send(p castPage, message map[string]any) (tidings.ID, error) {
	rate, err := readRate(p.Rate)
	if err != nil {
		return 0, err
	}
	var reminders []tidings.NewReminder
	for _, text := range strings.Fields(p.Remind) {
		reminders = append(reminders, tidings.ParseReminder(text))
	}
	message["rate"], message["must_read"], message["reminders"] = rate, p.MustRead, reminders
	body, err := json.Marshal(message)
	if err != nil {
		return 0, err
	}
	return v.Broadcast(v.r.Context(), v.me, p.Application, "console-"+p.Nonce, body)
}

// message is the request that the form stands for, without what a message alone does not have.
func (p castPage) message() (map[string]any, error) {
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	if p.Everyone {
		m["audience"] = tidings.Audience{Everyone: true}
	}
	for field, text := range map[string]string{"send_at": p.SendAt, "expires_at": p.ExpiresAt} {
		if text == "" {
			continue
		}
		at, err := localTime(text, p.Zone)
		if err != nil {
			return nil, tidings.FieldErrors{{Field: field, Code: "malformed", Detail: "2026-01-31T09:00"}}.Err(tidings.Invalid)
		}
		m[field] = at
	}
	return m, nil
}

// localTime reads a time of a form by the clock of a time zone; UTC where the browser did not tell its own.
func localTime(text, zone string) (time.Time, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || strings.EqualFold(zone, "local") { // ours is not the reader's
		location = time.UTC
	}
	return time.ParseInLocation("2006-01-02T15:04", text, location)
}

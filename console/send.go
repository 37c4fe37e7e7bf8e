package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"tidings"
)

// sendPage is what send.html shows: the form for a test message as it was filled in.
type sendPage struct {
	Applications []tidings.Application
	Types        []tidings.MessageType
	Application  string
	Type         string
	Channels     []tidings.Channel // of the type
	Chosen       []tidings.Channel
	Users        string
	Stores       string
	Merchants    string
	Data         string
	Preview      *tidings.Preview
}

func (v *visit) getSend() error {
	q := v.r.URL.Query()
	p, typ, err := v.sendPage(q.Get("application"), q.Get("type"))
	if err != nil {
		return err
	}
	p.Data = exampleData(typ)
	return v.show("send", v.t("nav.send"), nil, p)
}

// sendPage gathers what can be chosen, and chooses the first where nothing is.
func (v *visit) sendPage(application, typ string) (p sendPage, t tidings.MessageType, err error) {
	all, err := v.mine()
	if err != nil {
		return p, t, err
	}
	for _, a := range all {
		if a.State == tidings.ApplicationActive {
			p.Applications = append(p.Applications, a)
		}
	}
	if len(p.Applications) == 0 {
		return p, t, nil
	}
	p.Application = p.Applications[0].ID
	if slices.ContainsFunc(p.Applications, func(a tidings.Application) bool { return a.ID == application }) {
		p.Application = application
	}
	if p.Types, err = v.Platform.Types(v.r.Context(), p.Application); err != nil || len(p.Types) == 0 {
		return p, t, err
	}
	t = p.Types[0]
	for _, other := range p.Types {
		if other.Name == typ {
			t = other
		}
	}
	p.Type, p.Channels, p.Chosen = t.Name, t.Channels, t.Channels
	return p, t, nil
}

func (v *visit) postSend() error {
	p, typ, err := v.sendPage(v.value("application"), v.value("type"))
	if err != nil {
		return err
	}
	p.Users, p.Stores, p.Merchants, p.Data, p.Chosen = v.value("users"), v.value("stores"), v.value("merchants"), v.value("data"), v.channels("channels")
	if p.Application == "" || p.Application != v.value("application") || typ.Name != v.value("type") {
		return tidings.Errorf(tidings.NotFound, "there is no such message type")
	}
	body, err := p.body()
	if err == nil && v.value("act") == "preview" {
		var preview tidings.Preview
		if preview, err = v.Preview(v.r.Context(), p.Application, body); err == nil {
			p.Preview = &preview
			return v.show("send", v.t("nav.send"), nil, p)
		}
	}
	var id tidings.ID
	if err == nil {
		id, err = v.Send(v.r.Context(), p.Application, body)
	}
	if err != nil {
		return v.showWrong(err, "send", v.t("nav.send"), nil, p)
	}
	return v.leave(root+"/messages/"+id.String(), "sent")
}

// body is the request that the form stands for, as an application would post it.
func (p sendPage) body() ([]byte, error) {
	data := json.RawMessage(cmp.Or(p.Data, "{}"))
	if !json.Valid(data) {
		return nil, tidings.FieldErrors{{Field: "data", Code: "malformed", Detail: "a JSON object"}}.Err(tidings.Invalid)
	}
	return json.Marshal(struct {
		Type     string            `json:"type"`
		Audience tidings.Audience  `json:"audience"`
		Data     json.RawMessage   `json:"data"`
		Channels []tidings.Channel `json:"channels,omitempty"`
	}{p.Type, tidings.Audience{Users: ids(p.Users), Stores: ids(p.Stores), Merchants: ids(p.Merchants)}, data, p.Chosen})
}

// ids reads ids that stand apart by spaces or commas.
func ids(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return r == ' ' || r == ',' || r == '\n' || r == '\r' || r == '\t' || r == '，' || r == '、'
	})
}

package console

import (
	"encoding/json"
	"strconv"
	"strings"

	"tidings"
	"tidings/auth"
)

func (c *Console) typeRoutes() []route {
	const app = root + "/applications/{app}"
	return []route{
		{"GET", app + "/type", auth.WriteTypes, (*visit).newType},
		{"POST", app + "/type", auth.WriteTypes, (*visit).postType},
		{"GET", app + "/types/{type}", auth.ReadApplication, (*visit).getType},
		{"POST", app + "/types/{type}", auth.WriteTypes, (*visit).postType},
	}
}

// typePage is what type.html shows: the form as it was filled in.
type typePage struct {
	tidings.MessageType
	New      bool
	MayWrite bool
	TTL      string // as people write it: minutes
	Rows     []variableRow
	Quiet    tidings.QuietHours
	Unknown  []unknownRow
	Lanes    []tidings.Lane
	Kinds    []tidings.VariableType
	CapsText string // as people write them: "sms=3/24h"
	Dedup    string // minutes
	Same     string
}

// variableRow is a line of the form for variables.
type variableRow struct {
	N        int
	Name     string
	Type     tidings.VariableType
	Required bool
	Example  string
}

// unknownRow is what a type does on a channel when nobody knows whether the provider took a delivery.
type unknownRow struct {
	Channel tidings.Channel
	Policy  tidings.Policy
}

// spareRows are the empty lines below the variables; saving gives more.
const spareRows = 3

var variableTypes = []tidings.VariableType{tidings.VariableString, tidings.VariableNumber, tidings.VariableBoolean, tidings.VariableList, tidings.VariableObject}

func (v *visit) typePageOf(t tidings.MessageType, ttl string) typePage {
	p := typePage{MessageType: t, MayWrite: v.may(auth.WriteTypes), TTL: ttl,
		Lanes: tidings.Lanes, Kinds: variableTypes}
	for i, x := range t.Variables {
		p.Rows = append(p.Rows, variableRow{i, x.Name, x.Type, x.Required, plainExample(x.Example)})
	}
	if p.MayWrite {
		for range spareRows {
			p.Rows = append(p.Rows, variableRow{N: len(p.Rows), Type: tidings.VariableString})
		}
	}
	p.Quiet = tidings.QuietHours{Timezone: "Asia/Shanghai"}
	if t.Quiet != nil {
		p.Quiet = *t.Quiet
	}
	p.CapsText = capsText(t.Caps)
	if t.Dedup != nil {
		p.Dedup, p.Same = strconv.FormatFloat(float64(t.Dedup.Window)/60, 'f', -1, 64), t.Dedup.Key
	}
	for _, c := range tidings.Channels {
		p.Unknown = append(p.Unknown, unknownRow{c, t.Policy(c)})
	}
	return p
}

// capsText writes caps as people do, and readCaps reads them.
func capsText(caps []tidings.Cap) string {
	words := make([]string, len(caps))
	for i, c := range caps {
		words[i] = c.String()
	}
	return strings.Join(words, " ")
}

func readCaps(text string, errs *tidings.FieldErrors) (caps []tidings.Cap) {
	for _, w := range strings.Fields(text) {
		c, err := tidings.ParseCap(w)
		if err != nil {
			errs.Add("caps", "malformed", err.Error())
			return nil
		}
		caps = append(caps, c)
	}
	return caps
}

// plainExample writes an example as people do: a text without its quotes.
func plainExample(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func (v *visit) appCrumbs() []crumb {
	return append(v.applicationsCrumb(), crumb{v.app(), root + "/applications/" + v.app()})
}

func (v *visit) newType() error {
	p := v.typePageOf(tidings.MessageType{Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web}}, "")
	p.New, p.Application = true, v.app()
	return v.show("type", v.t("type.new"), v.appCrumbs(), p)
}

// typeOf is the message type that the path names.
func (v *visit) typeOf() (tidings.MessageType, error) {
	app, name := v.app(), v.r.PathValue("type")
	if !tidings.ValidName(app) || !tidings.ValidName(name) {
		return tidings.MessageType{}, tidings.Errorf(tidings.NotFound, "there is no such message type")
	}
	return v.Platform.Type(v.r.Context(), app, name)
}

func (v *visit) getType() error {
	t, err := v.typeOf()
	if err != nil {
		return err
	}
	ttl := ""
	if t.TTL > 0 {
		ttl = strconv.FormatFloat(float64(t.TTL)/60, 'f', -1, 64)
	}
	return v.show("type", t.Name, v.appCrumbs(), v.typePageOf(t, ttl))
}

func (v *visit) postType() error {
	t, err := v.readType()
	name := v.r.PathValue("type")
	fresh := name == ""
	if fresh {
		name = v.value("name")
	}
	t.Application, t.Name = v.app(), name
	if fresh && err == nil {
		err = v.notThere(t)
	}
	if err == nil {
		_, err = v.Platform.PutType(v.r.Context(), t)
	}
	if err != nil {
		p, title := v.typePageOf(t, v.value("ttl")), name
		if p.New = fresh; fresh {
			title = v.t("type.new")
		}
		return v.showWrong(err, "type", title, v.appCrumbs(), p)
	}
	return v.leave(root+"/applications/"+t.Application+"/types/"+t.Name, "saved")
}

// notThere refuses to make a type under the name of one that there is: saving would replace it.
func (v *visit) notThere(t tidings.MessageType) error {
	if !tidings.ValidName(t.Name) {
		return nil // the platform says so
	}
	_, err := v.Platform.Type(v.r.Context(), t.Application, t.Name)
	if err == nil {
		return tidings.FieldErrors{{Field: "name", Code: "taken", Detail: "the application has a message type of this name"}}.Err(tidings.Conflict)
	}
	if tidings.CodeOf(err) == tidings.NotFound {
		return nil
	}
	return err
}

// readType reads the form. What it could read stands in the type even where something is wrong.
func (v *visit) readType() (tidings.MessageType, error) {
	t := tidings.MessageType{Lane: tidings.Lane(v.value("lane")), Channels: v.channels("channels"), OnUnknown: map[tidings.Channel]tidings.Policy{}}
	var errs tidings.FieldErrors
	if s := v.value("ttl"); s != "" {
		minutes, err := strconv.ParseFloat(s, 64)
		if err != nil || minutes < 0 || minutes > 1e6 {
			errs.Add("ttl", "malformed", "a number of minutes")
		}
		t.TTL = tidings.Seconds(minutes * 60)
	}
	for _, c := range t.Channels {
		if policy := tidings.Policy(v.value("unknown." + string(c))); policy != "" && policy != t.Policy(c) {
			t.OnUnknown[c] = policy
		}
	}
	if from, to := v.value("quiet.from"), v.value("quiet.to"); from != "" || to != "" {
		t.Quiet = &tidings.QuietHours{From: from, To: to, Timezone: v.value("quiet.timezone"), Channels: v.channels("quiet.channels")}
	}
	v.readLater(&t, &errs)
	t.Title, t.Mandatory, t.Replace = v.value("title"), v.channels("mandatory"), v.value("replace") != ""
	t.Caps = readCaps(v.value("caps"), &errs)
	if s := v.value("dedup"); s != "" {
		minutes, err := strconv.ParseFloat(s, 64)
		if err != nil || minutes <= 0 || minutes > 1e6 {
			errs.Add("dedup.window", "malformed", "a number of minutes")
		}
		t.Dedup = &tidings.Dedup{Window: tidings.Seconds(minutes * 60), Key: v.value("dedup.key")}
	}
	names, kinds, examples := v.r.PostForm["variable.name"], v.r.PostForm["variable.type"], v.r.PostForm["variable.example"]
	if len(kinds) != len(names) || len(examples) != len(names) {
		errs.Add("variables", "malformed", "the form was changed on its way")
		names = nil
	}
	required := map[string]bool{}
	for _, n := range v.r.PostForm["variable.required"] {
		required[n] = true
	}
	for i, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		x := tidings.Variable{Name: name, Type: tidings.VariableType(kinds[i]), Required: required[strconv.Itoa(i)]}
		var ok bool
		if x.Example, ok = example(x.Type, strings.TrimSpace(examples[i])); !ok {
			errs.Add("variables["+strconv.Itoa(len(t.Variables))+"].example", "type", "must be a "+string(x.Type))
		}
		t.Variables = append(t.Variables, x)
	}
	return t, errs.Err(tidings.Invalid)
}

// example makes JSON of an example as people write it.
func example(kind tidings.VariableType, s string) (json.RawMessage, bool) {
	if s == "" {
		return nil, true
	}
	if kind == tidings.VariableString {
		raw, _ := json.Marshal(s) // a string
		return raw, true
	}
	var value any
	if json.Unmarshal([]byte(s), &value) != nil {
		raw, _ := json.Marshal(s)
		return raw, false
	}
	errs := tidings.MessageType{Variables: []tidings.Variable{{Name: "x", Type: kind}}}.CheckData(json.RawMessage(`{"x":` + s + `}`))
	return json.RawMessage(s), len(errs) == 0
}

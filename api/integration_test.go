package api_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tidings"
	"tidings/middleware"
)

// testDriver is a provider whose password must begin with "marker".
var testDriver = tidings.Driver{
	Provider: "test", Channel: tidings.SMS,
	Fields: []tidings.Field{{Name: "user", Required: true}, {Name: "password", Secret: true, Required: true}, {Name: "extra", Secret: true}, {Name: "parts", Default: "10"}},
	Open: func(s tidings.Setup) (tidings.Sender, error) {
		switch {
		case s.Values["parts"] == "":
			return nil, errors.New("defaults are not filled in")
		case !strings.HasPrefix(s.Values["password"], "marker"):
			return nil, tidings.FieldErrors{{Field: "password", Code: "malformed", Detail: "not " + s.Values["password"]}}.Err(tidings.Invalid)
		}
		return noSender{}, nil
	},
}

type noSender struct{}

func (noSender) Provider() string { return "test" }
func (noSender) Send(context.Context, tidings.Call) (tidings.Accepted, error) {
	return tidings.Accepted{}, errors.New("no")
}

func TestIntegrationsAreChangedAndTheirSecretsNeverShown(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		const gate = "/v1/integrations/gate"
		said := b.ok(200, "PUT", gate, adminToken, `{"provider":"test","order":2,"rate":1.5,"settings":{"user":"u","password":"marker-1","extra":"marker-2"}}`)
		// What is left out of secrets stays; what is empty goes; all else is replaced.
		said += b.ok(200, "PUT", gate, adminToken, `{"provider":"test","settings":{"user":"v","extra":""}}`)
		said += b.ok(200, "POST", gate+"/pause", adminToken, "") + b.ok(200, "POST", gate+"/check", adminToken, "")
		said += b.ok(200, "PUT", gate, adminToken, `{"provider":"test","settings":{"user":"v"}}`)
		var i tidings.Integration
		got := b.ok(200, "GET", gate, adminToken, "")
		decode(t, got, &i)
		if i.State != tidings.IntegrationPaused || i.Channel != tidings.SMS || i.Settings["user"] != "v" || len(i.Secrets) != 1 || i.Secrets[0] != "password" || i.Rate != 0 {
			t.Errorf("%+v", i)
		}
		_, all, err := b.db.Configured(t.Context(), 0)
		if err != nil || len(all) != 1 || all[0].Values["password"] != "marker-1" || all[0].Values["extra"] != "" {
			t.Errorf("%+v %v", all, err)
		}
		said += got + b.ok(200, "GET", "/v1/integrations", adminToken, "") + b.ok(200, "GET", "/v1/integrations/env", adminToken, "") +
			b.ok(200, "GET", "/v1/providers", adminToken, "") + b.ok(200, "GET", "/v1/audit", adminToken, "") + b.ok(200, "POST", "/v1/integrations/env/check", adminToken, "")
		b.ok(204, "DELETE", gate, adminToken, "")
		b.refused(404, "POST", gate+"/pause", adminToken, "")
		b.refused(404, "GET", gate, adminToken, "")
		for _, method := range []string{"DELETE", "PUT"} {
			b.refused(409, method, "/v1/integrations/env", adminToken, map[string]string{"PUT": `{"provider":"test"}`}[method])
		}
		if strings.Contains(said+b.log.String(), "marker") {
			t.Errorf("a secret is shown: %s", said)
		}
		if !strings.Contains(said, `"secrets_set":["password","extra"]`) || !strings.Contains(said, `"environment":true`) {
			t.Errorf("the audit log or the environment: %s", said)
		}
	})
}

func TestAWrongIntegrationIsRefusedByField(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for body, field := range map[string]string{
			`{}`:                                  "provider",
			`{"provider":"none"}`:                 "provider",
			`{"provider":"test","channel":"app"}`: "channel",
			`{"provider":"test","settings":{"user":"u"}}`:                             "settings.password",
			`{"provider":"test","settings":{"password":"marker"}}`:                    "settings.user",
			`{"provider":"test","settings":{"user":"u","password":"hidden-one"}}`:     "settings.password",
			`{"provider":"test","settings":{"user":"u","password":"marker","x":"y"}}`: "settings.x",
			`{"provider":"test","order":-1}`:                                          "order",
			`{"provider":"test","rate":-1}`:                                           "rate",
			`{"provider":"test","weight":1001}`:                                       "weight",
			`{"provider":"test","state":"gone"}`:                                      "state",
		} {
			p := b.refused(400, "PUT", "/v1/integrations/gate", adminToken, body)
			if !contains(p, field) || strings.Contains(p.Detail+p.Errors[0].Detail, "hidden") {
				t.Errorf("%s: %+v, want %s", body, p, field)
			}
		}
		b.refused(404, "PUT", "/v1/integrations/gate", adminToken, `{"provider":"test","application":"none","settings":{"user":"u","password":"marker"}}`)
		if all, err := b.db.Integrations(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("something was written: %v %v", all, err)
		}
	})
}

func contains(p middleware.Problem, field string) bool {
	for _, e := range p.Errors {
		if e.Field == field {
			return true
		}
	}
	return false
}

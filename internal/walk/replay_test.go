package walk

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sim/gateway"
)

// refusing is an application with a key, a user and an SMS gateway of its own, that refuses when it is told to.
func refusing(t *testing.T) (key string, g *gateway.Gateway) {
	t.Helper()
	g = gateway.New(gateway.Config{ReportAfter: 10 * time.Millisecond})
	server := httptest.NewServer(g)
	t.Cleanup(func() { server.Close(); g.Close() })
	admin := root(t)
	admin.must(201, "POST", "/v1/applications", object{"id": "again", "name": "Again"})
	key = read[struct{ Key string }](t, admin.must(201, "POST", "/v1/applications/again/keys", object{"name": "k", "scopes": []string{"messages:send", "messages:read"}})).Key
	putGate(admin) // paused: another test may have it running, and nobody is behind it
	directory(t, "again", "again-lin")
	admin.must(204, "PUT", "/v1/users/again-lin/addresses", object{"addresses": []object{{"channel": "sms", "value": "+8613800138000"}}})
	admin.must(200, "PUT", "/v1/integrations/again", object{"provider": "kannel", "application": "again", "settings": object{"url": server.URL + "/cgi-bin/sendsms", "user": "u", "password": "p"}})
	admin.must(200, "PUT", "/v1/types/code?application=again", object{"lane": "normal", "channels": []string{"sms"}, "variables": []object{{"name": "code", "type": "string", "required": true, "example": "1"}}})
	admin.must(201, "POST", "/v1/templates?application=again", object{"type": "code", "channel": "sms", "locale": "zh-CN", "body": "验证码 {{ code }}"})
	admin.must(200, "POST", "/v1/templates/publish?application=again", object{"type": "code", "channel": "sms", "locale": "zh-CN", "version": 1, "unreviewed": true})
	return key, g
}

// refused sends an SMS that the gateway refuses.
func refused(t *testing.T, app caller, g *gateway.Gateway) tidings.DeliveryKey {
	t.Helper()
	g.Fail(gateway.Fault{Kind: "status", Status: http.StatusBadRequest, Body: "Empty text not allowed, rejected"})
	id := read[struct{ ID tidings.ID }](t, app.must(202, "POST", "/v1/messages", object{"type": "code", "audience": object{"users": []string{"again-lin"}}, "data": object{"code": "1"}})).ID
	var found tidings.DeadLetter
	until(t, "the message is a dead letter", func() bool {
		letters := get[list[tidings.DeadLetter]](app, "/v1/dead-letters?state=failed&message="+id.String()).Data
		if len(letters) == 1 {
			found = letters[0]
		}
		return len(letters) == 1
	})
	if found.Reason != tidings.ProviderRefused || found.Integration != "again" || found.LeftOut != "" || !strings.Contains(found.Detail, "Empty text") {
		t.Fatalf("%+v", found)
	}
	return found.DeliveryKey
}

func TestWhatAProviderRefusedIsSentAgainOverAPIAndCommandLine(t *testing.T) {
	key, g := refusing(t)
	app := as(t, key)
	first := refused(t, app, g)
	filter := object{"states": []string{"failed"}, "channels": []string{"sms"}}
	plan := read[tidings.ReplayPlan](t, app.must(200, "POST", "/v1/replays", object{"filter": filter, "dry_run": true, "limit": 10}))
	if plan.Count != 1 || plan.Parts != 1 || len(plan.Deliveries) != 1 || plan.Deliveries[0].DeliveryKey != first || len(g.Records()) != 0 {
		t.Fatalf("%+v; the gateway has %+v", plan, g.Records())
	}
	id := read[tidings.Replay](t, app.must(202, "POST", "/v1/replays", object{"filter": filter, "dry_run": false})).ID
	arrived := func(id string) bool {
		r := get[tidings.Replay](app, "/v1/replays/"+id)
		return r.State == tidings.ReplayDone && r.Replayed == 1 && r.Now[tidings.Sent]+r.Now[tidings.Delivered] == 1
	}
	until(t, "what was refused has arrived", func() bool { return arrived(id.String()) })
	trace := get[list[tidings.DeliveryTrace]](app, "/v1/messages/"+first.Message.String()+"/deliveries").Data
	if len(trace) != 1 || len(trace[0].Attempts) != 2 || trace[0].Attempts[0].State != tidings.Failed || trace[0].Attempts[1].State != tidings.Sent || trace[0].Attempts[1].Integration != "again" {
		t.Fatalf("%+v", trace)
	}
	if len(g.Records()) != 1 {
		t.Errorf("the gateway has %+v", g.Records())
	}
	byCommandLine(t, key, g, arrived)
}

// byCommandLine does the same at a shell: one by filter, one by its name.
func byCommandLine(t *testing.T, key string, g *gateway.Gateway, arrived func(string) bool) {
	t.Helper()
	at := shell{t, "TIDINGS_KEY=" + key}
	again := refused(t, as(t, key), g)
	failed := []string{"replay", "--state", "failed", "--since", "1h"}
	if out := at.ok(append(failed, "--dry-run")...); !strings.Contains(out, again.String()) || strings.Count(out, "\n") != 0 {
		t.Errorf("a dry run prints %s", out)
	}
	at.refused("--yes", failed...)
	at.refused("filter.states", "replay", "--dry-run")
	at.refused("neither", "replay", "--state", "failed", "--since", "yesterday")
	if len(g.Records()) != 1 {
		t.Errorf("it was sent although nobody said so: %+v", g.Records())
	}
	made := read[tidings.Replay](t, at.ok(append(failed, "--yes", "--follow", "--json")...))
	until(t, "what was refused has arrived", func() bool { return arrived(made.ID.String()) })

	third := refused(t, as(t, key), g)
	if out := at.ok("dead-letter", "ls", "--state", "failed"); !strings.Contains(out, third.String()) || strings.Contains(out, again.String()) {
		t.Errorf("dead-letter ls prints %s", out)
	}
	at.refused("MESSAGE/USER/CHANNEL", "dead-letter", "redrive")
	at.refused("no delivery", "dead-letter", "redrive", "x")
	made = read[tidings.Replay](t, at.ok("dead-letter", "redrive", third.String(), "--json"))
	until(t, "the one has arrived", func() bool { return arrived(made.ID.String()) })
	if out := at.ok("replay", "show", made.ID.String()); !strings.Contains(out, third.String()) || !strings.Contains(out, "provider_refused") {
		t.Errorf("replay show prints %s", out)
	}
	if out := at.ok("message", "show", third.Message.String()); !strings.Contains(out, "again (kannel)") {
		t.Errorf("the trace does not name the integration: %s", out)
	}
	at.refused("done already", "replay", "cancel", made.ID.String())
	ids := strings.Split(at.ok("replay", "ls"), "\n")
	if len(ids) != 3 || !strings.HasPrefix(ids[0], made.ID.String()) {
		t.Errorf("replay ls prints %q", ids)
	}
	log := get[list[tidings.Change]](root(t), "/v1/audit?action=replay.create").Data
	if !slices.ContainsFunc(log, func(c tidings.Change) bool { return c.Object == "replay "+made.ID.String() && c.Via == "cli" }) {
		t.Errorf("the audit log: %+v", log)
	}
}

package api_test

import (
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestADigestIsWrittenByATypeThatIsThere(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		const events = `{"lane":"normal","channels":["web","sms"],"digest":{"window":900,"channels":["sms"],"type":"TYPE"}}`
		put := func(status int, typ string) tidings.FieldErrors {
			t.Helper()
			body := strings.Replace(events, "TYPE", typ, 1)
			if status == 200 {
				b.ok(200, "PUT", "/v1/types/events?application=shop", adminToken, body)
				return nil
			}
			return b.refused(status, "PUT", "/v1/types/events?application=shop", adminToken, body).Errors
		}
		b.ok(200, "PUT", "/v1/types/theirs?application=pos", adminToken, `{"lane":"normal","channels":["web","sms"]}`)
		b.ok(200, "PUT", "/v1/types/silent?application=shop", adminToken, `{"lane":"normal","channels":["web"]}`)
		for _, typ := range []string{"none", "theirs", "silent"} {
			if errs := put(400, typ); len(errs) != 1 || errs[0].Field != "digest.type" || !strings.Contains(errs[0].Detail, typ) {
				t.Errorf("a digest by %s: %+v", typ, errs)
			}
		}
		b.refused(404, "GET", "/v1/types/events?application=shop", adminToken, "") // nothing was changed
		b.ok(200, "PUT", "/v1/types/summary?application=shop", adminToken, `{"lane":"normal","channels":["sms"]}`)
		put(200, "summary")
	})
}

func TestAPreviewShowsTheStepsToOthers(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(200, "PUT", "/v1/types/order.paid?application=shop", adminToken, `{"lane":"normal","channels":["web","sms"],"variables":[{"name":"order","type":"string","required":true},{"name":"amount","type":"number"}],
			"route":{"steps":[{"channels":["web"]},{"channels":["sms"],"after":600,"to":"role:manager"},{"channels":["web"],"after":1200,"to":"head_office"}]}}`)
		b.speak(100, "{{ order }}")
		var v tidings.Preview
		before := time.Now()
		decode(t, b.ok(200, "POST", "/v1/messages:preview", b.app, good), &v)
		if len(v.Escalations) != 2 {
			t.Fatalf("%+v", v.Escalations)
		}
		for i, want := range []tidings.Escalation{{Step: 2, To: "role:manager", Channels: []tidings.Channel{tidings.SMS}}, {Step: 3, To: tidings.ToHeadOffice, Channels: []tidings.Channel{tidings.Web}}} {
			e, after := v.Escalations[i], []time.Duration{10 * time.Minute, 30 * time.Minute}[i]
			if e.Step != want.Step || e.To != want.To || e.Channels[0] != want.Channels[0] || e.State != tidings.Held || e.DueAt.Sub(before.Add(after)).Abs() > time.Minute {
				t.Errorf("%+v, want %+v after %s", e, want, after)
			}
		}
	})
}

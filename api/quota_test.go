package api_test

import (
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/handlers"
	"tidings/tasks"
)

// speak publishes what order.paid says on its two channels.
func (b *bundle) speak(percent int, body string) {
	b.t.Helper()
	for _, c := range []tidings.Channel{tidings.Web, tidings.SMS} {
		made, err := b.db.CreateTemplate(b.t.Context(), tidings.Template{Application: "shop", Type: "order.paid", Channel: c, Locale: "zh-CN", Body: body})
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := b.db.Publish(b.t.Context(), made.Ref(), percent, true); err != nil {
			b.t.Fatal(err)
		}
	}
}

// plan runs the stages up to the route stage.
func (b *bundle) plan() {
	b.t.Helper()
	ctx := b.t.Context()
	stages := map[tidings.StageName]tasks.Stage{tidings.Acquire: handlers.Acquire(b.db, time.Now), tidings.Render: handlers.Render(b.db, time.Now),
		tidings.Route: handlers.Route(b.db)}
	segments, err := b.db.Untouched(ctx, -time.Hour, 100)
	for err == nil && len(segments) > 0 {
		s := segments[0]
		segments = segments[1:]
		if stage, ok := stages[s.Stage]; ok {
			var next []tidings.Segment
			next, err = stage.Run(ctx, s)
			segments = append(segments, next...)
		}
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestWhatComesFasterThanItsRateIsRefusedWithTheTimeToWait(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"rate":0.5,"burst":2}`)
		b.ok(202, "POST", "/v1/messages", b.app, good, "Idempotency-Key", "k1")
		b.ok(202, "POST", "/v1/messages", b.app, good)
		for range 2 {
			if p := b.refused(429, "POST", "/v1/messages", b.app, good); p.Errors[0].Code != "rate_limited" {
				t.Errorf("%+v", p)
			}
		}
		if w := b.ask("POST", "/v1/messages", b.app, good); w.Header().Get("Retry-After") != "2" {
			t.Errorf("wait %s", w.Header().Get("Retry-After"))
		}
		if w := b.ask("POST", "/v1/messages", b.app, good, "Idempotency-Key", "k1"); w.Code != 202 || w.Header().Get("Idempotent-Replayed") != "true" {
			t.Errorf("a repeat of what was accepted: %d %s", w.Code, w.Body)
		}
		b.ok(202, "POST", "/v1/messages", b.other, good)
		b.pass(2 * time.Second)
		b.ok(202, "POST", "/v1/messages", b.app, good)
		b.refused(429, "POST", "/v1/messages/batch", b.app, `{"messages":[`+good+`,`+good+`]}`)
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{}`)
		b.ok(202, "POST", "/v1/messages", b.app, good)
		if n := b.messages(); n != 4 {
			t.Errorf("%d messages", n)
		}
		var log struct{ Data []tidings.Change }
		decode(t, b.ok(200, "GET", "/v1/audit?action=message", adminToken, ""), &log)
		if len(log.Data) != 1 || log.Data[0].Action != "message.send refused" || log.Data[0].Object != "application shop" {
			t.Errorf("%+v", log.Data)
		}
	})
}

func TestWhenNothingIsLeftAMessageIsRefusedWithTheReason(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.speak(100, "{{ order }}")
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"daily":{"web":1},"sms_budget":1}`)
		b.ok(202, "POST", "/v1/messages", b.app, good)
		b.plan()
		b.pass(2 * time.Second)
		web := strings.Replace(good, `{"type"`, `{"channels":["web"],"type"`, 1)
		for body, code := range map[string]string{web: "over_quota", good: "over_budget"} {
			p := b.refused(429, "POST", "/v1/messages", b.app, body)
			if p.Errors[0].Field != "channels" || p.Errors[0].Code != code {
				t.Errorf("%+v", p)
			}
		}
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"daily":{"web":1}}`)
		b.ok(202, "POST", "/v1/messages", b.app, good) // there is still the SMS
	})
}

func TestQuotasAreTheAdminsAndUsageIsTheApplicationsToo(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var q tidings.Quota
		decode(t, b.ok(200, "GET", "/v1/quotas/shop", adminToken, ""), &q)
		if q.Application != "shop" || q.Rate != 0 || q.Counts() {
			t.Errorf("%+v", q)
		}
		decode(t, b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"daily":{"sms":10},"sms_budget":20,"timezone":"UTC"}`), &q)
		decode(t, b.ok(200, "GET", "/v1/quotas/shop", adminToken, ""), &q)
		if q.Daily[tidings.SMS] != 10 || q.SMSBudget != 20 || q.Timezone != "UTC" {
			t.Errorf("%+v", q)
		}
		b.refused(403, "PUT", "/v1/quotas/shop", b.app, `{}`)
		b.refused(404, "GET", "/v1/quotas/nobody", adminToken, "")
		b.refused(404, "PUT", "/v1/quotas/nobody", adminToken, `{"rate":1}`)
		b.refused(400, "PUT", "/v1/quotas/shop", adminToken, `{"application":"pos"}`)
		b.refused(400, "PUT", "/v1/quotas/shop", adminToken, `{"parts":5}`)
		if p := b.refused(400, "PUT", "/v1/quotas/shop", adminToken, `{"daily":{"fax":5}}`); p.Errors[0].Field != "daily" {
			t.Errorf("%+v", p)
		}
		var u tidings.Usage
		decode(t, b.ok(200, "GET", "/v1/applications/shop/usage?days=3", b.app, ""), &u)
		if len(u.Days) != 3 || u.Quota == nil || u.Budget.Limit != 20 || u.Days[2].Day != u.Today {
			t.Errorf("%+v", u)
		}
		b.refused(404, "GET", "/v1/applications/pos/usage", b.app, "")
		b.refused(400, "GET", "/v1/applications/shop/usage?days=32", b.app, "")
	})
}

func TestAPreviewTellsWhoGetsWhatAndWhyAndWritesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.speak(100, "订单 {{ order }}，金额 {{ amount }}")
		b.ok(200, "PUT", "/v1/users/u2", b.app, `{"name":"Bob","locale":"zh-CN","memberships":[{"merchant":"acme","role":"owner"}]}`)
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"sms_budget":10}`)
		body := strings.Replace(good, `{"users":["u1"]}`, `{"merchants":["acme"]}`, 1)
		var v tidings.Preview
		decode(t, b.ok(200, "POST", "/v1/messages:preview", b.app, body), &v)
		if v.Users != 2 || v.Planned != 2 || len(v.Recipients) != 2 || v.Cost.Parts != 1 || v.Cost.Estimated || v.Cost.Left == nil || *v.Cost.Left != 10 {
			t.Fatalf("%+v", v)
		}
		if len(v.Contents) != 2 || v.Contents[0].Content.Body != "订单 2026-1，金额 12.5" || v.Contents[0].Encoding != "ucs2" || v.Contents[0].Users != 1 {
			t.Errorf("%+v", v.Contents)
		}
		for _, r := range v.Recipients {
			want := map[string]string{"u1": "s:acme-1", "u2": "m:acme"}[r.User]
			if len(r.Via) != 1 || r.Via[0] != want || len(r.Deliveries) != 2 {
				t.Errorf("%+v", r)
			}
			for _, d := range r.Deliveries {
				stopped := d.Channel == tidings.SMS && r.User == "u2"
				if (d.Reason == tidings.NoAddress) != stopped || d.Version != 1 || len(d.Decisions) < 6 {
					t.Errorf("%s: %+v", r.User, d)
				}
			}
		}
		if strings.Contains(b.ok(200, "POST", "/v1/messages:preview", b.app, body), phone) {
			t.Error("an address is shown")
		}
		if n := b.messages(); n != 0 {
			t.Errorf("%d messages", n)
		}
		decode(t, b.ok(200, "POST", "/v1/messages:preview", b.app, strings.Replace(good, "u1", "nobody", 1)), &v)
		b.refused(422, "POST", "/v1/messages:preview", b.app, `{"type":"order.paid","audience":{"users":["u1"]},"data":{}}`)
		b.refused(422, "POST", "/v1/messages:preview", b.app, `{"type":"nothing","audience":{"users":["u1"]}}`)
	})
}

func TestAPreviewShowsBothVersionsOfATrialAndWhoGetsWhich(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.speak(100, "old {{ order }}")
		b.speak(50, "new {{ order }}")
		var v tidings.Preview
		decode(t, b.ok(200, "POST", "/v1/messages:preview", b.app, good), &v)
		if len(v.Contents) != 4 {
			t.Fatalf("%+v", v.Contents)
		}
		for _, c := range v.Contents {
			trial := tidings.InTrial("u1", []string{"u"}, 50) // named himself, he counts by himself
			if want := map[bool]int{true: 1}[trial == (c.Percent == 50)]; c.Users != want || c.Locale != "zh-CN" || c.Version != map[int]int{0: 1, 50: 2}[c.Percent] {
				t.Errorf("%+v", c)
			}
		}
	})
}

func TestAPreviewOfAnOverdrawnBudgetSaysSo(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.speak(100, strings.Repeat("中", 71)) // 2 parts
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"sms_budget":1}`)
		var v tidings.Preview
		decode(t, b.ok(200, "POST", "/v1/messages:preview", b.app, good), &v)
		for _, d := range v.Recipients[0].Deliveries {
			if (d.Channel == tidings.SMS) != (d.Reason == tidings.OverBudget) {
				t.Errorf("%+v", d)
			}
		}
		if v.Cost.Parts != 0 || *v.Cost.Left != 1 {
			t.Errorf("%+v", v.Cost)
		}
	})
}

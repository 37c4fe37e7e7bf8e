package api_test

import (
	"strings"
	"testing"
	"time"

	"tidings"
)

const (
	shopType = `{"lane":"normal","channels":["web","sms"],"variables":[{"name":"order","type":"string","required":true,"example":"2026-0001"},{"name":"amount","type":"number","example":12.5}]}`
	draft    = `{"type":"order.paid","channel":"sms","locale":"zh-CN","signature":"【Acme】","body":"订单 {{ order }} 已付 {{ amount }} 元"}`
	first    = `"type":"order.paid","channel":"sms","locale":"zh-CN","version":1`
)

func TestATemplateIsWrittenByOneAndApprovedByAnother(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		li, wang, op := b.person("li", tidings.RoleDeveloper, "shop"), b.person("wang", tidings.RoleApprover, ""), b.person("op", tidings.RoleOperator, "")
		b.ok(201, "POST", "/v1/templates", li, draft)
		bad := b.refused(400, "POST", "/v1/templates", li, strings.Replace(draft, `"body"`, `"provider_code":"SMS 1:","body"`, 1))
		if len(bad.Errors) != 1 || bad.Errors[0].Field != "provider_code" {
			t.Errorf("%+v", bad)
		}
		p := b.refused(422, "POST", "/v1/templates/submit", li, `{`+first+`}`) // the type has no example
		if len(p.Errors) == 0 || p.Errors[0].Field != "variables.order.example" {
			t.Errorf("%+v", p)
		}
		b.ok(200, "PUT", "/v1/types/order.paid", li, shopType)
		b.ok(202, "POST", "/v1/messages", b.app, `{"type":"order.paid","audience":{"users":["u1"]},"data":{"order":"abc-17 你好","amount":1203.5}}`)
		var report tidings.TemplateReport
		decode(t, b.ok(200, "POST", "/v1/templates/submit", li, `{`+first+`}`), &report)
		if report.Template.State != tidings.TemplateSubmitted || len(report.Renderings) != 2 || report.Renderings[0].Content.Body != "【Acme】订单 2026-0001 已付 12.5 元" || report.Renderings[0].Parts != 1 {
			t.Errorf("%+v", report)
		}
		if masked := report.Renderings[1]; masked.Error != "" || masked.Content.Body != "【Acme】订单 xxx-00 文文 已付 1000 元" {
			t.Errorf("%+v", masked)
		}
		b.refused(409, "POST", "/v1/templates/publish", li, `{`+first+`}`)
		b.refused(403, "POST", "/v1/templates/approve", li, `{`+first+`}`)
		b.refused(403, "POST", "/v1/templates/approve?application=shop", op, `{`+first+`}`)
		if list := b.ok(200, "GET", "/v1/templates/submitted", wang, ""); !strings.Contains(list, "submitted") {
			t.Errorf("%s", list)
		}
		b.refused(400, "POST", "/v1/templates/reject?application=shop", wang, `{`+first+`}`)
		b.ok(200, "POST", "/v1/templates/approve?application=shop", wang, `{`+first+`,"comment":"fine"}`)
		b.refused(409, "POST", "/v1/templates/approve?application=shop", adminToken, `{`+first+`}`)
		b.ok(200, "POST", "/v1/templates/publish", li, `{`+first+`}`)
		b.ok(200, "POST", "/v1/templates/discard?application=shop", op, `{`+first+`}`)
		b.refused(409, "POST", "/v1/templates/rollback", li, `{"type":"order.paid","channel":"sms","locale":"zh-CN"}`)
		b.ok(201, "POST", "/v1/templates", li, strings.Replace(draft, "已付", "付了", 1))
		decode(t, b.ok(200, "GET", "/v1/templates/report?type=order.paid&channel=sms&locale=zh-CN&version=2", li, ""), &report)
		if got := strings.Join(report.Diff, "\n"); !strings.Contains(got, "-body: 订单 {{ order }} 已付") || !strings.Contains(got, "+body: 订单 {{ order }} 付了") {
			t.Errorf("%s", got)
		}
	})
}

func TestNobodyApprovesHisOwnTemplateAndTheLogTells(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(200, "PUT", "/v1/types/order.paid?application=shop", adminToken, shopType)
		b.ok(201, "POST", "/v1/templates?application=shop", adminToken, draft)
		b.ok(200, "POST", "/v1/templates/submit?application=shop", adminToken, `{`+first+`}`)
		b.refused(403, "POST", "/v1/templates/approve?application=shop", adminToken, `{`+first+`}`)
		// A key that he made for the application writes in his name.
		b.ok(201, "POST", "/v1/templates", b.app, draft)
		b.ok(200, "POST", "/v1/templates/submit", b.app, strings.Replace(`{`+first+`}`, `:1}`, `:2}`, 1))
		b.refused(403, "POST", "/v1/templates/approve?application=shop", adminToken, strings.Replace(`{`+first+`}`, `:1}`, `:2}`, 1))
		// Nor can he approve in the name of somebody for whom he made a key.
		puppet := b.person("puppet", tidings.RoleApprover, "")
		b.refused(403, "POST", "/v1/templates/approve?application=shop", puppet, `{`+first+`}`)
		log := b.ok(200, "GET", "/v1/audit?action=template.approve%20refused", adminToken, "")
		if strings.Count(log, `"template.approve refused"`) != 3 || !strings.Contains(log, `template shop/order.paid/sms/zh-CN/1`) {
			t.Errorf("%s", log)
		}
		op := b.person("op", tidings.RoleOperator, "")
		b.refused(403, "POST", "/v1/templates/approve?application=shop", op, `{`+first+`}`)
		if log := b.ok(200, "GET", "/v1/audit?actor=op", adminToken, ""); !strings.Contains(log, `"template.review refused"`) {
			t.Errorf("%s", log)
		}
		var report tidings.AuditReport
		decode(t, b.ok(200, "GET", "/v1/audit/verify", adminToken, ""), &report)
		if report.Bad != 0 || report.Rows == 0 || report.Head.Hash == "" {
			t.Errorf("%+v", report)
		}
	})
}

func TestAnApplicationIsAppliedForAndApproved(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		dev, wang := b.person("dev", tidings.RoleDeveloper, ""), b.person("wang", tidings.RoleApprover, "")
		const application = `{"id":"coupons","name":"Coupons","purpose":"coupons","channels":["web"],"volume":100}`
		b.refused(403, "POST", "/v1/applications", dev, application)
		b.refused(400, "POST", "/v1/applications:apply", dev, `{"id":"coupons","name":"Coupons"}`)
		b.ok(201, "POST", "/v1/applications:apply", dev, application)
		if list := b.ok(200, "GET", "/v1/applications", dev, ""); !strings.Contains(list, "coupons") || strings.Contains(list, "shop") {
			t.Errorf("%s", list)
		}
		b.refused(409, "POST", "/v1/applications/coupons/keys", adminToken, `{"scopes":["messages:send"]}`)
		b.refused(403, "POST", "/v1/messages?application=coupons", adminToken, good)
		b.refused(403, "POST", "/v1/applications/coupons/approve", dev, `{}`)
		b.ok(200, "POST", "/v1/applications/coupons/approve", wang, `{"comment":"welcome"}`)
		b.refused(409, "POST", "/v1/applications/coupons/reject", adminToken, `{"comment":"late"}`)
		b.pass(5 * time.Second)
		b.refused(403, "POST", "/v1/applications/coupons/keys", dev, `{"scopes":["directory:write"]}`)
		b.ok(201, "POST", "/v1/applications/coupons/keys", dev, `{"scopes":["messages:send"]}`)
		b.ok(201, "POST", "/v1/applications/coupons/keys", dev, `{"scopes":["messages:send"]}`)
		b.refused(409, "POST", "/v1/applications/coupons/keys", dev, `{"scopes":["messages:send"]}`)
		b.refused(404, "GET", "/v1/applications/shop/keys", dev, "")
		b.refused(404, "GET", "/v1/applications/shop", dev, "")
		b.refused(404, "GET", "/v1/types?application=shop", dev, "")
	})
}

func TestAnApplicationKeepsToItsChannelsUntilAnAdminChangesThem(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(201, "POST", "/v1/applications", adminToken, `{"id":"coupons","name":"Coupons","channels":["web"]}`)
		const typ = `{"lane":"normal","channels":["web","sms"]}`
		if p := b.refused(422, "PUT", "/v1/types/coupon.new?application=coupons", adminToken, typ); p.Errors[0].Field != "channels[1]" {
			t.Errorf("%+v", p)
		}
		b.refused(400, "PUT", "/v1/applications/coupons", adminToken, `{"name":"Coupons","state":"suspended"}`)
		b.refused(400, "PUT", "/v1/applications/coupons", adminToken, `{"id":"shop","name":"Coupons"}`)
		b.refused(404, "PUT", "/v1/applications/nobody", adminToken, `{"name":"Nobody"}`)
		edited := b.ok(200, "PUT", "/v1/applications/coupons", adminToken, `{"name":"Coupons","channels":["web","sms"],"origins":["https://shop.example"]}`)
		if !strings.Contains(edited, `"state":"active"`) || !strings.Contains(edited, "https://shop.example") {
			t.Errorf("%s", edited)
		}
		b.ok(200, "PUT", "/v1/types/coupon.new?application=coupons", adminToken, typ)
		if log := b.ok(200, "GET", "/v1/audit?action=application.edit", adminToken, ""); !strings.Contains(log, "application coupons") {
			t.Errorf("%s", log)
		}
	})
}

func TestANarrowKeySendsOnlyWhatItIsFor(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var k struct{ Key string }
		decode(t, b.ok(201, "POST", "/v1/applications/shop/keys", adminToken, `{"scopes":["messages:send","messages:read"],"types":["order.paid"],"channels":["web"]}`), &k)
		b.refused(403, "POST", "/v1/messages", k.Key, good) // the type's channels are web and sms
		b.ok(202, "POST", "/v1/messages", k.Key, strings.Replace(good, `"type"`, `"channels":["web"],"type"`, 1))
		b.ok(200, "PUT", "/v1/types/other", b.app, `{"lane":"normal","channels":["web"]}`)
		b.refused(403, "POST", "/v1/messages", k.Key, `{"type":"other","audience":{"users":["u1"]}}`)
		var a accepted
		decode(t, b.ok(202, "POST", "/v1/messages", b.app, `{"type":"other","audience":{"users":["u1"]}}`), &a)
		b.refused(404, "GET", "/v1/messages/"+a.ID, k.Key, "")
		b.refused(404, "DELETE", "/v1/messages/"+a.ID, k.Key, "")
		// Of a message that is also on a channel that the key is not for it changes nothing there.
		var both accepted
		decode(t, b.ok(202, "POST", "/v1/messages", b.app, good), &both)
		b.ok(200, "GET", "/v1/messages/"+both.ID, k.Key, "")
		b.refused(403, "DELETE", "/v1/messages/"+both.ID+"/deliveries/u1/sms", k.Key, "")
		b.refused(403, "DELETE", "/v1/messages/"+both.ID, k.Key, "")
		b.refused(403, "POST", "/v1/messages:cancel", k.Key, `{"cancellation_key":"x"}`)
		if list := b.ok(200, "GET", "/v1/messages", k.Key, ""); strings.Contains(list, a.ID) {
			t.Errorf("%s", list)
		}
	})
}

// Go reads times that it does not write: a row with one of them would break every list that it stands in.
func TestATimeThatCannotBeSaidAgainIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for _, at := range []string{"9999-12-31T23:59:59-12:00", "1999-01-01T00:00:00Z"} {
			b.refused(400, "POST", "/v1/applications/shop/keys", adminToken, `{"scopes":["messages:send"],"expires_at":"`+at+`"}`)
		}
		b.ok(201, "POST", "/v1/applications/shop/keys", adminToken, `{"scopes":["messages:send"],"expires_at":"2030-01-01T00:00:00+24:00"}`)
		b.ok(202, "POST", "/v1/replays?application=shop", adminToken, `{"filter":{"states":["failed"],"since":"2026-07-01T00:00:00+24:00"},"dry_run":false}`)
		b.ok(200, "GET", "/v1/applications/shop/keys", adminToken, "")
	})
}

func TestAPathWithNULIsNotFound(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for _, path := range []string{"/v1/account/keys/%00", "/v1/users/%FF/preferences", "/v1/applications/%00"} {
			b.refused(404, "DELETE", path, adminToken, "")
		}
	})
}

func TestAPersonChangesHisOwnAccountAndNoMore(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(201, "POST", "/v1/accounts", adminToken, `{"id":"li","role":"viewer","password":"correct horse battery"}`)
		var k struct{ Key string }
		decode(t, b.ok(201, "POST", "/v1/keys", adminToken, `{"kind":"admin","account":"li"}`), &k)
		b.ok(200, "PUT", "/v1/account", k.Key, `{"locale":"en"}`)
		b.refused(403, "PUT", "/v1/account", k.Key, `{"role":"admin"}`)
		b.refused(400, "PUT", "/v1/account", k.Key, `{"password":"another long password"}`)
		b.ok(200, "PUT", "/v1/account", k.Key, `{"password":"another long password","old_password":"correct horse battery"}`)
		b.refused(400, "POST", "/v1/accounts", adminToken, `{"id":"root","role":"admin"}`)
		b.refused(400, "POST", "/v1/accounts", adminToken, `{"id":"x","role":"king"}`)
		b.refused(400, "POST", "/v1/accounts", adminToken, `{"id":"x","role":"viewer","password":"short"}`)
		b.ok(201, "POST", "/v1/account/keys", k.Key, `{"name":"laptop"}`)
		if keys := b.ok(200, "GET", "/v1/account/keys", k.Key, ""); strings.Count(keys, `"id"`) != 2 {
			t.Errorf("%s", keys)
		}
		b.ok(204, "DELETE", "/v1/account/keys/"+k.Key[4:14], k.Key, "")
		b.refused(404, "DELETE", "/v1/account/keys/"+b.app[4:14], adminToken, "")
		if all := b.ok(200, "GET", "/v1/accounts", adminToken, "") + b.ok(200, "GET", "/v1/audit", adminToken, ""); strings.Contains(all, "argon2id") || strings.Contains(all, "battery") {
			t.Errorf("%s", all)
		}
	})
}

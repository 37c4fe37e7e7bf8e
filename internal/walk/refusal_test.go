package walk

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestOfTwoApproversAtOnceOneWins(t *testing.T) {
	bosses := []caller{person(t, "race-1", "approver", ""), person(t, "race-2", "approver", ""), person(t, "race-3", "admin", "")}
	admin := root(t)
	admin.must(201, "POST", "/v1/applications", object{"id": "race", "name": "race"})
	admin.must(200, "PUT", "/v1/types/order.paid?application=race", orderPaid())
	dev := person(t, "race-dev", "developer", "race")
	for version := range 10 {
		dev.must(201, "POST", "/v1/templates", webTemplate())
		ref := written(t, object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": version + 1, "comment": "so"})
		dev.must(200, "POST", "/v1/templates/submit", ref)
		codes := make([]int, len(bosses))
		var all sync.WaitGroup
		for i, boss := range bosses {
			all.Go(func() {
				path := "/v1/templates/approve?application=race"
				if i == 1 {
					path = "/v1/templates/reject?application=race"
				}
				codes[i], _ = boss.ask("POST", path, ref)
			})
		}
		all.Wait()
		if slices.Sort(codes); !slices.Equal(codes, []int{200, 409, 409}) {
			t.Errorf("three reviewers at once are answered %v", codes)
		}
	}
	auditSays(t, "race-dev", "template.submit")
}

func TestAForgedTransitionAnOverLimitSendAndAWrongPasswordAreToldInTheAuditLog(t *testing.T) {
	admin := root(t)
	admin.must(201, "POST", "/v1/applications", object{"id": "limit", "name": "limit"})
	admin.must(200, "PUT", "/v1/types/order.paid?application=limit", orderPaid())
	dev := person(t, "limit-dev", "developer", "limit")
	dev.must(201, "POST", "/v1/templates", webTemplate())
	ref := object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": 1}
	dev.must(409, "POST", "/v1/templates/publish", ref)
	forged := webTemplate()
	forged["state"], forged["version"] = "published", 7
	dev.must(400, "POST", "/v1/templates", forged)
	dev.must(403, "POST", "/v1/templates/publish", object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": 1, "unreviewed": true})
	auditSays(t, "limit-dev", "template.publish refused")

	admin.must(200, "PUT", "/v1/quotas/limit", object{"rate": 0.001, "burst": 1})
	message := `{"type":"order.paid","audience":{"users":["nobody-there"]},"channels":["web"],"data":{"order":"1"}}`
	until(t, "the quota is in force", func() bool {
		code, text := dev.ask("POST", "/v1/messages", message)
		return code == 429 && strings.Contains(text, "rate")
	})
	if over := admin.must(200, "GET", "/v1/audit?action=message.send%20refused", nil); !strings.Contains(over, "application limit") || !strings.Contains(over, "rate_limited") {
		t.Errorf("the audit log does not tell of the over-limit send: %.300s", over)
	}
	plainly, _ := as(t, "").ask("POST", "/console/sign-in", "account=limit-dev&password=wrong", "Content-Type", "application/x-www-form-urlencoded")
	if plainly != 401 {
		t.Errorf("a wrong password answers %d", plainly)
	}
	refused := admin.must(200, "GET", "/v1/audit?action=session.begin%20refused&limit=200", nil)
	if !strings.Contains(refused, "account limit-dev") {
		t.Error("the audit log does not tell of the wrong password")
	}
}

func TestAnImportTakesTheGoodLinesAndNamesTheBrokenOnes(t *testing.T) {
	code, text := importLines(root(t), `{"merchant":{"id":"broken","name":"M"}}
{"merchant":
{"store":{"id":"broken-1","merchant":"nobody","name":"S"}}
{"store":{"id":"broken-2","merchant":"broken","name":"S"}}
{"user":{"id":"<script>","name":"U"}}
{"user":{"id":"broken-u","name":"U","memberships":[{"store":"broken-2","role":"clerk"}]}}`)
	for _, want := range []string{`"refused":3`, `"line":2`, `"line":3`, `"line":5`, `"users":1`, `"stores":1`} {
		if code != 200 || !strings.Contains(text, want) {
			t.Errorf("%d: %s lacks %s", code, text, want)
		}
	}
	root(t).must(200, "GET", "/v1/users/broken-u", nil)
}

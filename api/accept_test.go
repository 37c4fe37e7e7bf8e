package api_test

import (
	"strings"
	"testing"
	"time"

	"tidings"
)

type accepted struct {
	ID, Status string
	Links      map[string]string
}

func TestAnAcceptedMessageIsThereUnderTheLinkThatIsGiven(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var a accepted
		decode(t, b.ok(202, "POST", "/v1/messages", b.app, good), &a)
		if a.Status != "accepted" || a.Links["self"] != "/v1/messages/"+a.ID {
			t.Errorf("%+v", a)
		}
		var m tidings.MessageStatus
		decode(t, b.ok(200, "GET", a.Links["self"], b.app, ""), &m)
		if m.Application != "shop" || m.Type != "order.paid" || m.ID.String() != a.ID || m.Audience.Users[0] != "u1" {
			t.Errorf("%+v", m)
		}
		if left := time.Until(m.ExpiresAt); left < 50*time.Minute || left > 70*time.Minute {
			t.Errorf("expires in %v, and its type says an hour", left)
		}
		b.ok(200, "GET", a.Links["deliveries"], b.app, "")
	})
}

func TestTheSameKeyHasTheSameAnswer(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		first := b.ask("POST", "/v1/messages", b.app, good, "Idempotency-Key", "k1")
		again := b.ask("POST", "/v1/messages", b.app, " "+strings.ReplaceAll(good, `":`, `" : `), "Idempotency-Key", "k1")
		if first.Code != 202 || again.Code != 202 || first.Body.String() != again.Body.String() {
			t.Errorf("%d %s then %d %s", first.Code, first.Body, again.Code, again.Body)
		}
		if first.Header().Get("Idempotent-Replayed") != "" || again.Header().Get("Idempotent-Replayed") != "true" {
			t.Error("Idempotent-Replayed")
		}
		b.refused(422, "POST", "/v1/messages", b.app, strings.Replace(good, "12.5", "13", 1), "Idempotency-Key", "k1")
		if other := b.ok(202, "POST", "/v1/messages", b.other, good, "Idempotency-Key", "k1"); other == first.Body.String() {
			t.Error("two applications share a key")
		}
		if n := b.messages(); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestARepeatIsAnsweredThoughItsTimeHasPassedSince(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		body := strings.Replace(good, `{"type"`, `{"expires_at":"`+b.now.Add(time.Minute).Format(time.RFC3339)+`","type"`, 1)
		first := b.ok(202, "POST", "/v1/messages", b.app, body, "Idempotency-Key", "k1")
		b.pass(2 * time.Minute)
		if again := b.ok(202, "POST", "/v1/messages", b.app, body, "Idempotency-Key", "k1"); again != first {
			t.Errorf("%s then %s", first, again)
		}
		b.refused(422, "POST", "/v1/messages", b.app, body, "Idempotency-Key", "k2")
	})
}

func TestABatchHasAResultForEachMessage(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		body := `{"messages":[` + good + `,{"type":"nothing","audience":{"users":["u1"]}},` + good + `,7]}`
		var result struct {
			Accepted, Refused int
			Data              []struct {
				accepted
				Problem struct {
					Code   string
					Errors tidings.FieldErrors
				}
			}
		}
		answer := b.ok(202, "POST", "/v1/messages/batch", b.app, body, "Idempotency-Key", "k")
		decode(t, answer, &result)
		d := result.Data
		if result.Accepted != 2 || result.Refused != 2 || len(d) != 4 || d[0].Status != "accepted" || d[1].Status != "refused" || d[2].Status != "accepted" || d[1].Problem.Errors[0].Field != "type" || d[3].Status != "refused" {
			t.Errorf("%s", answer)
		}
		if d[0].ID == d[2].ID || b.messages() != 2 {
			t.Errorf("%d messages", b.messages())
		}
		if again := b.ok(202, "POST", "/v1/messages/batch", b.app, body, "Idempotency-Key", "k"); again != answer || b.messages() != 2 {
			t.Error("the repeat was not a repeat")
		}
		p := b.refused(422, "POST", "/v1/messages/batch", b.app, `{"messages":[{"type":"nothing","audience":{"users":["u1"]}}]}`)
		if len(p.Errors) != 1 || p.Errors[0].Field != "messages[0].type" {
			t.Errorf("%+v", p)
		}
	})
}

func TestABadMessageIsRefusedByItsFieldAndChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		with := func(fields string) string { return `{` + fields + `,` + good[1:] }
		data := func(d string) string { return `{"type":"order.paid","audience":{"users":["u1"]},"data":` + d + `}` }
		audience := func(a string) string {
			return `{"type":"order.paid","data":{"order":"1"},"audience":` + a + `}`
		}
		long := strings.Repeat("x", 256)
		for name, c := range map[string]struct {
			status      int
			field, body string
		}{
			"wrong JSON":           {400, "", `{"type":`},
			"empty":                {400, "", ``},
			"an array":             {400, "", `[]`},
			"trailing":             {400, "", good + `{}`},
			"invalid UTF-8":        {400, "", strings.Replace(good, "2026-1", "\xc3\x28", 1)},
			"unknown field":        {400, "channel", with(`"channel":"web"`)},
			"unknown in audience":  {400, "audience.stores_", audience(`{"stores_":["a"]}`)},
			"repeated field":       {400, "type", with(`"type":"order.paid"`)},
			"type is a number":     {400, "type", `{"type":7}`},
			"no type":              {400, "type", `{"audience":{"users":["u1"]}}`},
			"unknown type":         {422, "type", `{"type":"order.lost","audience":{"users":["u1"]}}`},
			"NUL":                  {400, "data.order", data(`{"order":"a\u0000b"}`)},
			"half a pair":          {400, "data.order", data(`{"order":"\ud83d"}`)},
			"unknown channel":      {422, "channels[0]", with(`"channels":["fax"]`)},
			"channel not in type":  {422, "channels[0]", with(`"channels":["app"]`)},
			"channel twice":        {422, "channels[1]", with(`"channels":["web","web"]`)},
			"no channels":          {422, "channels", with(`"channels":[]`)},
			"empty audience":       {422, "audience", audience(`{}`)},
			"only roles":           {422, "audience", audience(`{"roles":["clerk"]}`)},
			"no audience":          {422, "audience", `{"type":"order.paid","data":{"order":"1"}}`},
			"bad id":               {422, "audience.users", audience(`{"users":["a b"]}`)},
			"bad scope":            {422, "audience.scope", audience(`{"merchants":["acme"],"scope":"most"}`)},
			"too many":             {422, "audience", audience(`{"users":["u1"` + strings.Repeat(`,"u1"`, 1000) + `]}`)},
			"missing variable":     {422, "data.order", data(`{}`)},
			"wrong variable":       {422, "data.amount", data(`{"order":"1","amount":"much"}`)},
			"undeclared variable":  {422, "data.ordr", data(`{"order":"1","ordr":"2"}`)},
			"data is a list":       {422, "data", data(`[]`)},
			"data too long":        {422, "data", data(`{"order":"` + strings.Repeat("x", 65<<10) + `"}`)},
			"deep data":            {400, "data.order" + strings.Repeat("[0]", 31), data(`{"order":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`)},
			"long collapse key":    {422, "collapse_key", with(`"collapse_key":"` + long + `"`)},
			"long cancel key":      {422, "cancellation_key", with(`"cancellation_key":"` + long + `"`)},
			"send_at is no time":   {422, "send_at", with(`"send_at":"tomorrow"`)},
			"send_at too far":      {422, "send_at", with(`"send_at":"2999-01-01T00:00:00Z"`)},
			"expired":              {422, "expires_at", with(`"expires_at":"2020-01-01T00:00:00Z"`)},
			"expires before sent":  {422, "expires_at", with(`"send_at":"` + b.now.Add(48*time.Hour).Format(time.RFC3339) + `","expires_at":"` + b.now.Add(24*time.Hour).Format(time.RFC3339) + `"`)},
			"expires far too late": {422, "expires_at", with(`"expires_at":"2999-01-01T00:00:00Z"`)},
		} {
			p := b.refused(c.status, "POST", "/v1/messages", b.app, c.body)
			if c.field != "" && (len(p.Errors) == 0 || p.Errors[0].Field != c.field) {
				t.Errorf("%s: %+v", name, p)
			}
		}
		b.refused(413, "POST", "/v1/messages", b.app, `{"type":"`+strings.Repeat("x", 10<<20)+`"}`)
		b.refused(413, "POST", "/v1/messages/batch", b.app, strings.Repeat(" ", 10<<20))
		b.refused(400, "POST", "/v1/messages/batch", b.app, `{"messages":[]}`)
		b.refused(400, "POST", "/v1/messages/batch", b.app, `{"messages":[`+strings.Repeat("{},", 500)+`{}]}`)
		b.refused(400, "POST", "/v1/messages", b.app, good, "Idempotency-Key", long)
		b.refused(400, "POST", "/v1/messages", b.app, good, "Idempotency-Key", "é")
		b.refused(400, "POST", "/v1/messages", b.app, good, "Idempotency-Key", "a", "Idempotency-Key", "b")
		b.refused(400, "POST", "/v1/messages?dry_run=true", b.app, good)
		if n := b.messages(); n != 0 {
			t.Errorf("%d messages were accepted", n)
		}
		b.ok(202, "POST", "/v1/messages", b.app, good) // and the door still works
	})
}

func TestAMessageToWhomTheDirectoryDoesNotKnowIsAccepted(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(202, "POST", "/v1/messages", b.app, strings.Replace(good, "u1", "nobody", 1))
	})
}

func TestWhatIsPendingCanBeTakenBackByIDAndByKey(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var a accepted
		decode(t, b.ok(202, "POST", "/v1/messages", b.app, `{"cancellation_key":"order 7",`+good[1:]), &a)
		b.refused(404, "DELETE", "/v1/messages/"+a.ID, b.other, "")
		b.ok(200, "DELETE", "/v1/messages/"+a.ID, b.app, "")
		b.ok(200, "POST", "/v1/messages:cancel", b.app, `{"cancellation_key":"order 7"}`)
		b.refused(400, "POST", "/v1/messages:cancel", b.app, `{}`)
		var m tidings.MessageStatus
		decode(t, b.ok(200, "GET", "/v1/messages/"+a.ID, b.app, ""), &m)
		if m.Status != "canceled" {
			t.Errorf("status %q", m.Status)
		}
	})
}

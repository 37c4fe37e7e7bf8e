package api_test

import (
	"strings"
	"testing"
)

// imported is the answer to an import.
type imported struct {
	Merchants, Stores, Users, Addresses, Deleted, Refused int
	Problems                                              []struct {
		Line    int
		Problem struct {
			Code   string
			Errors []struct{ Field, Code string }
		}
	}
}

func TestTombstonesTakeAwayInTheOrderOfLines(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var r imported
		decode(t, b.ok(200, "POST", "/v1/directory/import", b.app, strings.Join([]string{
			`{"merchant":{"id":"m2"}}`, `{"store":{"id":"s2","merchant":"m2"}}`, `{"user":{"id":"u2","memberships":[{"store":"s2","role":"clerk"}]}}`,
			`{"merchant":{"id":"m2","deleted":true}}`, `{"store":{"id":"s3","merchant":"m2"}}`,
			`{"user":{"id":"u2","deleted":true}}`, `{"user":{"id":"u2","deleted":true}}`, `{"user":{"id":"u2","name":"Back"}}`,
			`{"user":{"id":"a b","deleted":true}}`, `{"addresses":{"user":"u2","deleted":true}}`}, "\n")), &r)
		if r.Deleted != 2 || r.Users != 2 || r.Stores != 1 || r.Refused != 3 || r.Problems[0].Line != 5 || r.Problems[1].Line != 9 || r.Problems[2].Line != 10 {
			t.Errorf("%+v", r)
		}
		b.refused(404, "GET", "/v1/merchants/m2", b.app, "")
		b.refused(404, "GET", "/v1/stores/s2", b.app, "")
		if u := b.ok(200, "GET", "/v1/users/u2", b.app, ""); !strings.Contains(u, "Back") || strings.Contains(u, "clerk") {
			t.Errorf("%s", u)
		}
	})
}

func TestATableIsImportedAndItsBrokenRecordsAreRefused(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		table := "\ufeffstore,merchant,hours,attributes\r\n" + "s2,acme,mon-fri 09:00-18:00,tier=gold\r\n" + "s3,none,,\r\n" + "s4,acme,mon 25:00-26:00,\r\n" +
			"s5,acme\r\n" + "s\"6,acme,,\r\n" + "s7,acme,,\"two\nlines\"\r\n" + "s8,acme,,\r\n" + "\"s9,acme,,\r\ns10,acme,,\r\n"
		var r imported
		decode(t, b.ok(200, "POST", "/v1/directory/import", b.app, table, "Content-Type", "text/csv; charset=utf-8"), &r)
		if r.Stores != 2 || r.Refused != 6 {
			t.Fatalf("%+v", r)
		}
		for i, want := range []struct {
			line  int
			field string
		}{{3, "merchant"}, {4, "hours.mon"}, {5, ""}, {6, ""}, {7, "attributes"}, {10, ""}} {
			p := r.Problems[i]
			field := ""
			if len(p.Problem.Errors) > 0 {
				field = p.Problem.Errors[0].Field
			}
			if p.Line != want.line || field != want.field {
				t.Errorf("%+v, want %+v", p, want)
			}
		}
		if s := b.ok(200, "GET", "/v1/stores/s2", b.app, ""); !strings.Contains(s, `"mon":["09:00-18:00"]`) || !strings.Contains(s, `"tier":"gold"`) {
			t.Errorf("%s", s)
		}
		b.ok(200, "POST", "/v1/directory/import", b.app, "user,name,memberships,sms\nu7,Lin,,+8613800138000\n", "Content-Type", "text/csv")
		decode(t, b.ok(200, "POST", "/v1/directory/import", b.app, "user,name,memberships,sms\nu7,Wang,,notaphone\n", "Content-Type", "text/csv"), &r)
		if s := b.ok(200, "GET", "/v1/users/u7", b.app, ""); r.Refused != 1 || !strings.Contains(s, "Lin") {
			t.Errorf("a record that is refused changed something: %+v %s", r, s)
		}
		b.refused(400, "POST", "/v1/directory/import", b.app, "colour\nred\n", "Content-Type", "text/csv")
		b.refused(400, "POST", "/v1/directory/import", b.app, "", "Content-Type", "text/csv")
	})
}

func TestAStoreAndAnAudienceNameTheFieldThatIsWrong(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for field, c := range map[string][3]string{
			"hours.mon":           {"PUT", "/v1/stores/s", `{"merchant":"acme","hours":{"mon":["18:00-09:00"]}}`},
			"holidays":            {"PUT", "/v1/stores/s", `{"merchant":"acme","holidays":["1 October"]}`},
			"timezone":            {"PUT", "/v1/stores/s", `{"merchant":"acme","timezone":"Mars/Base"}`},
			"audience.attributes": {"POST", "/v1/messages", `{"type":"order.paid","audience":{"everyone":true,"attributes":{"tier":""}},"data":{"order":"1"}}`},
		} {
			status := 400
			if c[0] == "POST" {
				status = 422
			}
			if p := b.refused(status, c[0], c[1], b.app, c[2]); len(p.Errors) == 0 || p.Errors[0].Field != field {
				t.Errorf("%s: %+v", field, p)
			}
		}
		b.ok(202, "POST", "/v1/messages", b.app, `{"type":"order.paid","audience":{"everyone":true,"attributes":{"tier":"gold"}},"data":{"order":"1"}}`)
	})
}

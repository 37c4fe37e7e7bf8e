package tidings_test

import (
	"strings"
	"testing"

	"tidings"
)

func TestTheDirectoryNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 201)
	for name, c := range map[string]struct {
		errs tidings.FieldErrors
		want string
	}{
		"merchant": {tidings.Merchant{ID: "a b", Name: long, Attributes: map[string]string{"": ""}}.Validate(),
			"id malformed, name too_long, attributes malformed"},
		"store": {tidings.Store{ID: "s", Timezone: "Mars/Base"}.Validate(), "merchant malformed, timezone unknown"},
		"user": {tidings.User{ID: "u", Locale: "中文", Memberships: []tidings.Membership{{Role: "owner"}, {Merchant: "a", Store: "b", Role: "owner"}, {Merchant: "a"}, {Merchant: "a", Role: "x"}}}.Validate(),
			"locale malformed, memberships[0] malformed, memberships[1] malformed, memberships[2].role malformed, memberships[3] repeated"},
		"addresses": {tidings.ValidateAddresses([]tidings.Address{{Channel: "web"}, {Channel: "sms", Value: "123"}, {Channel: "sms", Value: "+8613800000000"}, {Channel: "app", Platform: "palm"}}),
			"addresses[0].channel unknown, addresses[1].value malformed, addresses[2].channel repeated, addresses[3].value malformed, addresses[3].platform unknown"},
		"good merchant":  {tidings.Merchant{ID: "acme", Name: "Acme"}.Validate(), ""},
		"good store":     {tidings.Store{ID: "acme-1", Merchant: "acme", Timezone: "Asia/Shanghai"}.Validate(), ""},
		"good user":      {tidings.User{ID: "u@1", Locale: "zh-Hans-CN", Memberships: []tidings.Membership{{Store: "acme-1", Role: "clerk"}}}.Validate(), ""},
		"good addresses": {tidings.ValidateAddresses([]tidings.Address{{Channel: "sms", Value: "+8613800000000"}, {Channel: "app", Value: "4523168574123698745", Provider: "baidu", Platform: "android"}}), ""},
	} {
		if got := c.errs.String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

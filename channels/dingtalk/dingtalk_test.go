package dingtalk

import (
	"net/url"
	"testing"
)

func TestTheSignatureIsTheKnownOne(t *testing.T) {
	if got := url.QueryEscape(sign("this is secret", 1577262236757)); got != "hmPWwU%2B7lVdm3ZZz0r9tSfx0L4Q26jWOZr9%2BGs6EZQM%3D" {
		t.Error(got)
	}
}

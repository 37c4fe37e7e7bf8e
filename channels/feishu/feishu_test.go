package feishu

import "testing"

func TestTheSignatureIsTheKnownOne(t *testing.T) {
	if got := sign("this is secret", 1599360473); got != "/eYKrXQBzTjUZJ3s6NX16VxGbTwmK7AEs8/FnvC1CSw=" {
		t.Error(got)
	}
}

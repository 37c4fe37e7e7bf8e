package auth_test

import (
	"strings"
	"testing"

	"tidings"
	"tidings/auth"
)

func TestALinkOpensWhatItWasMadeForAndNothingElse(t *testing.T) {
	secret, old := []byte("a master secret of at least 32 characters"), []byte("another secret of at least 32 characters!")
	links := auth.NewLinks(secret)
	s := tidings.Subscription{User: "u-lin", Application: "orders", Type: "order.paid", Channel: tidings.SMS}
	token := links.Token(s)
	if got, ok := links.Open(token); !ok || got != s {
		t.Fatalf("%+v %v", got, ok)
	}
	if again := links.Token(s); again != token {
		t.Error("two tokens of one subscription")
	}
	if len(token) > 60 {
		t.Errorf("%d characters are too many for an SMS", len(token))
	}
	other := s
	other.User = "u-lim"
	if second := links.Token(other); second[:20] == token[:20] {
		t.Error("one token tells of another")
	}
	if _, ok := auth.NewLinks(old).Open(token); ok {
		t.Error("another secret opens it")
	}
	if got, ok := auth.NewLinks(old, secret).Open(token); !ok || got != s {
		t.Error("after the secret was changed it does not open")
	}
	for i := range token { // no character can be changed
		for _, c := range "Aa0_" {
			if forged := token[:i] + string(c) + token[i+1:]; forged != token {
				if got, ok := links.Open(forged); ok {
					t.Fatalf("%s opens as %+v", forged, got)
				}
			}
		}
	}
	for _, wrong := range []string{"", "x", "%", token[:len(token)-1], token + "A", strings.Repeat("A", 401), token[:21], token + "="} {
		if _, ok := links.Open(wrong); ok {
			t.Errorf("%q opens", wrong)
		}
	}
}

func FuzzALinkOpensOnlyAsItWasMade(f *testing.F) {
	links := auth.NewLinks([]byte("a master secret of at least 32 characters"))
	f.Add(links.Token(tidings.Subscription{User: "u-lin", Application: "orders", Type: "order.paid", Channel: tidings.SMS}))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if s, ok := links.Open(token); ok && links.Token(s) != token {
			t.Errorf("%q opens as %+v", token, s)
		}
	})
}

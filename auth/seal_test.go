package auth_test

import (
	"strings"
	"testing"

	"tidings"
	"tidings/auth"
)

func TestASealedAddressIsReadOnlyWithTheSecretItWasSealedWith(t *testing.T) {
	t.Parallel()
	s, other := auth.NewSealer(master), auth.NewSealer([]byte("another master secret of 32 characters or more"))
	const phone = "+8613800000000"
	sealed := s.Seal(phone)
	if strings.Contains(sealed, "138") || sealed == s.Seal(phone) {
		t.Errorf("sealed as %s", sealed)
	}
	if got, err := s.Open(sealed); err != nil || got != phone {
		t.Errorf("%q %v", got, err)
	}
	changed := []byte(sealed)
	changed[len(changed)/2] ^= 1
	for _, bad := range []string{"", "1:", "1:!", "2:" + sealed[2:], string(changed), sealed[:len(sealed)-3]} {
		if got, err := s.Open(bad); err == nil {
			t.Errorf("%q was opened as %q", bad, got)
		}
	}
	if _, err := other.Open(sealed); err == nil {
		t.Error("another secret opened it")
	}
	if s.Blind(phone) != s.Blind(phone) || s.Blind(phone) == other.Blind(phone) || s.Blind(phone) == s.Blind(phone+"1") {
		t.Error("the blind index does not tell values apart")
	}
}

func TestAReceiptIsTakenOnlyForTheAttemptItWasSignedFor(t *testing.T) {
	t.Parallel()
	id := tidings.ID(1 << 40)
	sig := auth.SignReceipt(master, id)
	if !auth.VerifyReceipt(master, id, sig) {
		t.Error("our own signature is refused")
	}
	if auth.VerifyReceipt(master, id+1, sig) || auth.VerifyReceipt(master, id, "") || auth.VerifyReceipt(master, id, sig[:31]) || auth.VerifyReceipt([]byte("x"), id, sig) {
		t.Error("a forged signature is taken")
	}
}

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
	sealed := s.Seal("address lin", phone)
	if strings.Contains(sealed, "138") || sealed == s.Seal("address lin", phone) {
		t.Errorf("sealed as %s", sealed)
	}
	if got, err := s.Open("address lin", sealed); err != nil || got != phone {
		t.Errorf("%q %v", got, err)
	}
	changed := []byte(sealed)
	changed[len(changed)/2] ^= 1
	for _, bad := range []string{"", "1:", "1:!", "4:" + sealed[2:], "2:" + sealed[2:], "3::" + sealed[11:], string(changed), sealed[:len(sealed)-3]} {
		if got, err := s.Open("address lin", bad); err == nil {
			t.Errorf("%q was opened as %q", bad, got)
		}
	}
	if _, err := s.Open("address wei", sealed); err == nil {
		t.Error("it was opened in another's place")
	}
	if _, err := other.Open("address lin", sealed); err == nil {
		t.Error("another secret opened it")
	}
	if s.Blind(phone) != s.Blind(phone) || s.Blind(phone) == other.Blind(phone) || s.Blind(phone) == s.Blind(phone+"1") {
		t.Error("the blind index does not tell values apart")
	}
}

func TestAMasterSecretCanBeChanged(t *testing.T) {
	t.Parallel()
	fresh := []byte("another master secret of 32 characters or more")
	old, both, gone := auth.NewSealer(master), auth.NewSealer(fresh, master), auth.NewSealer(fresh)
	sealed := old.Seal("p", "13800000000")
	if got, err := both.Open("p", sealed); err != nil || got != "13800000000" {
		t.Errorf("with the old secret beside the new one: %q, %v", got, err)
	}
	if _, err := gone.Open("p", sealed); err == nil {
		t.Error("without the old secret it is opened")
	}
	if got, err := gone.Open("p", both.Seal("p", "x")); err != nil || got != "x" {
		t.Errorf("what is sealed with both is not sealed with the new one: %q, %v", got, err)
	}
	if both.Blind("x") != gone.Blind("x") || both.Prefix() != gone.Prefix() || strings.HasPrefix(sealed, both.Prefix()) {
		t.Error("old and new are not told apart")
	}
	// The forms before values had places, and before keys had ids: AES-256-GCM without them.
	placeless := old.Seal("", "13800000000")
	for _, was := range []string{"2:" + placeless[2:], "1:" + placeless[len(old.Prefix()):]} {
		if got, err := both.Open("p", was); err != nil || got != "13800000000" || strings.HasPrefix(was, old.Prefix()) {
			t.Errorf("an earlier form %.12s: %q, %v", was, got, err)
		}
	}
	if id := tidings.ID(9); !auth.VerifyReceipt(fresh, id, auth.SignReceipt(master, id), master) || auth.VerifyReceipt(fresh, id, auth.SignReceipt(master, id)) {
		t.Error("receipts of the old secret")
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

func TestAProofIsVerifiedAlsoAfterTheMasterSecretWasChanged(t *testing.T) {
	old, now := []byte("the master secret of at least 32 characters"), []byte("another master secret of at least 32 characters")
	seal := tidings.ProofSeal{Broadcast: 7, Lines: 3, Hash: "ab"}
	seal.Signature = auth.SignProof(old, seal)
	if !auth.VerifyProof(now, seal, old) || !auth.VerifyProof(old, seal) || auth.VerifyProof(now, seal) {
		t.Error("a proof holds under the secret that signed it, current or previous, and under no other")
	}
	seal.Lines++
	if auth.VerifyProof(now, seal, old) {
		t.Error("a changed seal holds")
	}
}

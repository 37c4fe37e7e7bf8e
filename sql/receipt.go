package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"tidings"
)

// Bounds of what is kept of an attempt's reports: the first maxRaw bytes of each, and keptReceipts of them. Those beyond still move
// their attempt.
const (
	maxRaw       = 8 << 10
	keptReceipts = 50
)

// receiptMoves says what each kind of receipt makes of its attempt and delivery.
var receiptMoves = map[tidings.ReceiptKind]struct {
	attempt, delivery tidings.State
	reason            tidings.Reason
	final             int
}{
	tidings.ReceiptDelivered:    {tidings.Sent, tidings.Delivered, tidings.NoReason, 1},
	tidings.ReceiptAccepted:     {tidings.Sent, tidings.Sent, tidings.NoReason, 0},
	tidings.ReceiptBuffered:     {tidings.Sent, tidings.Sent, tidings.NoReason, 0},
	tidings.ReceiptNotDelivered: {tidings.Failed, tidings.Failed, tidings.NotDelivered, 1},
	tidings.ReceiptRejected:     {tidings.Failed, tidings.Failed, tidings.ProviderRefused, 1},
}

// ReportedAttempt tells which integration made an attempt; "" of one that is older than integrations.
func (db *DB) ReportedAttempt(ctx context.Context, attempt tidings.ID) (integration string, err error) {
	err = db.Get(ctx, &integration, "integration-of-attempt", int64(attempt))
	return integration, notFound(err, "attempt", attempt)
}

// AttemptOf finds an integration's attempt by the id that its provider gave it. An id that it gave to several, a batch's, names none
// of them.
func (db *DB) AttemptOf(ctx context.Context, integration, providerID string) (tidings.ID, error) {
	var ids []int64
	if err := db.Select(ctx, &ids, "attempt-of", integration, clip(providerID)); err != nil {
		return 0, err
	}
	if len(ids) != 1 {
		return 0, tidings.Errorf(tidings.NotFound, "no single attempt is known to the provider as %s", clip(providerID))
	}
	return tidings.ID(ids[0]), nil
}

// Receive records a receipt, with the report as it came, and moves its attempt and delivery, forward only: receipts come late, twice and
// out of order. One that repeats another of its attempt word for word is kept once.
func (db *DB) Receive(ctx context.Context, r tidings.Receipt) error {
	move, ok := receiptMoves[r.Kind]
	if !ok {
		return tidings.Errorf(tidings.Invalid, "there is no kind of receipt %q", r.Kind)
	}
	budgets := db.budgets(ctx)
	raw, hash := db.kept(r)
	var a struct {
		Message  int64  `db:"message_id"`
		User     string `db:"user_id"`
		Channel  string
		Provider string
		State    string
		N        int64
	}
	var settled bool
	err := db.tx(ctx, func(t *tx) error {
		if err := t.Get(ctx, &a, "attempt-by-id", int64(r.Attempt)); err != nil {
			return notFound(err, "attempt", r.Attempt)
		}
		if _, err := t.Exec(ctx, "insert-receipt", int64(db.ids.Next()), int64(r.Attempt), string(r.Kind), clip(r.Detail), raw, hash, keptReceipts); err != nil {
			return err
		}
		// The delivery first: Settle and Begin lock in this order too.
		if _, err := t.Exec(ctx, "receipt-delivery", a.Message, a.User, a.Channel, string(move.delivery), string(move.reason), a.N); err != nil {
			return err
		}
		n, err := t.Exec(ctx, "receipt-attempt", int64(r.Attempt), string(move.attempt), string(move.reason), clip(r.ProviderID), move.final)
		if err != nil {
			return err
		}
		settled = n == 1 && a.State == string(tidings.UnknownEnd)
		return t.settleBudget(ctx, budgets && a.Channel == string(tidings.SMS), []int64{int64(r.Attempt)})
	})
	if err == nil && settled {
		db.metrics.settled(a.Channel, a.Provider, r.By(), 1)
	}
	return err
}

// kept is a receipt's report as it is kept, sealed because it may name a person, and the keyed hash by which a repeat is known.
func (db *DB) kept(r tidings.Receipt) (raw, hash string) {
	sum := sha256.Sum256([]byte(string(r.Kind) + "\x00" + r.Detail + "\x00" + r.Raw))
	if r.Raw != "" {
		raw = db.sealer.Seal(reportPlace(int64(r.Attempt)), tidings.Clip(r.Raw, maxRaw))
	}
	return raw, db.sealer.Blind(hex.EncodeToString(sum[:]))
}

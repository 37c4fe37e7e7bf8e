package sql_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestApplications(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		a := tidings.Application{ID: "orders", Name: "Orders", Owner: "li", State: tidings.ApplicationActive, Origins: []string{"https://shop.example"}}
		must(t, db.CreateApplication(ctx, a))
		wantCode(t, db.CreateApplication(ctx, a), tidings.Conflict)
		must(t, db.SetApplicationState(ctx, "orders", tidings.ApplicationSuspended))
		a.State = tidings.ApplicationSuspended
		if got, err := db.Application(ctx, "orders"); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v, want %+v, %v", got, a, err)
		}
		if all, err := db.Applications(ctx); err != nil || len(all) != 1 {
			t.Errorf("%v, %v", all, err)
		}
		_, err := db.Application(ctx, "other")
		wantCode(t, err, tidings.NotFound)
		wantCode(t, db.SetApplicationState(ctx, "other", tidings.ApplicationActive), tidings.NotFound)
	})
}

func TestKeysBelongToTheirApplication(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		k := tidings.Key{ID: "k1", Kind: tidings.ApplicationKey, Application: "orders", Name: "ci", Scopes: []string{tidings.ScopeSend}, Hash: "abc", Last4: "wxyz", ExpiresAt: expires}
		must(t, db.CreateKey(ctx, k))
		wantCode(t, db.CreateKey(ctx, k), tidings.Conflict)
		must(t, db.CreateKey(ctx, tidings.Key{ID: "k2", Kind: tidings.MerchantKey, Dimension: "m:acme"}))
		got, err := db.Key(ctx, "k1")
		must(t, err)
		if got.CreatedAt.IsZero() || !got.RevokedAt.IsZero() {
			t.Errorf("created %v, revoked %v", got.CreatedAt, got.RevokedAt)
		}
		if k.CreatedAt = got.CreatedAt; !reflect.DeepEqual(got, k) {
			t.Errorf("%+v, want %+v", got, k)
		}
		wantCode(t, db.RevokeKey(ctx, "payments", "k1"), tidings.NotFound)
		if got, err = db.Key(ctx, "k1"); err != nil || !got.RevokedAt.IsZero() {
			t.Fatalf("another application revoked it: %v", err)
		}
		must(t, db.RevokeKey(ctx, "orders", "k1"))
		first, err := db.Key(ctx, "k1")
		must(t, err)
		must(t, db.RevokeKey(ctx, "", "k1"))
		if again, err := db.Key(ctx, "k1"); err != nil || first.RevokedAt.IsZero() || again.RevokedAt != first.RevokedAt {
			t.Errorf("revoked %v, then %v, %v", first.RevokedAt, again.RevokedAt, err)
		}
		if keys, err := db.Keys(ctx, "orders"); err != nil || len(keys) != 1 {
			t.Errorf("keys of orders: %v, %v", keys, err)
		}
		if keys, err := db.Keys(ctx, ""); err != nil || len(keys) != 2 {
			t.Errorf("all keys: %v, %v", keys, err)
		}
	})
}

func TestMessageTypesBelongToTheirApplication(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		mt := tidings.MessageType{Application: "orders", Name: "order.paid", Lane: tidings.Critical, Channels: []tidings.Channel{tidings.SMS}, TTL: 60,
			OnUnknown: map[tidings.Channel]tidings.Policy{tidings.SMS: tidings.AtLeastOnce},
			Variables: []tidings.Variable{{Name: "amount", Type: tidings.VariableNumber, Required: true}}}
		must(t, db.PutType(ctx, mt))
		if got, err := db.Type(ctx, "orders", "order.paid"); err != nil || !reflect.DeepEqual(got, mt) {
			t.Errorf("%+v, want %+v, %v", got, mt, err)
		}
		_, err := db.Type(ctx, "payments", "order.paid")
		wantCode(t, err, tidings.NotFound)
		if all, err := db.Types(ctx, "orders"); err != nil || len(all) != 2 || all[0].Name != "note" {
			t.Errorf("%v, %v", all, err)
		}
		mt.Application = "no-such"
		wantCode(t, db.PutType(ctx, mt), tidings.NotFound)
	})
}

func TestOneVersionOfATemplateIsPublished(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		draft := tidings.Template{Application: "orders", Type: "note", Channel: tidings.Web, Locale: "en", Title: "T", Body: "B", URL: "/u"}
		for version := 1; version <= 2; version++ {
			got, err := db.CreateTemplate(ctx, draft)
			must(t, err)
			if got.Version != version || got.State != tidings.TemplateDraft || got.Body != "B" || got.CreatedAt.IsZero() {
				t.Fatalf("version %d: %+v", version, got)
			}
		}
		for _, version := range []int{1, 2, 1} {
			got, err := db.PublishTemplate(ctx, "orders", "note", tidings.Web, "en", version)
			must(t, err)
			published, err := db.PublishedTemplates(ctx, "orders", "note")
			must(t, err)
			if len(published) != 1 || published[0] != got || got.Version != version || got.State != tidings.TemplatePublished {
				t.Fatalf("published %+v, answered %+v, want version %d", published, got, version)
			}
		}
		if all, err := db.Templates(ctx, "orders", "note"); err != nil || len(all) != 2 || all[1].State != tidings.TemplateRetired {
			t.Errorf("%+v, %v", all, err)
		}
		_, err := db.PublishTemplate(ctx, "orders", "note", tidings.Web, "en", 3)
		wantCode(t, err, tidings.NotFound)
		_, err = db.PublishTemplate(ctx, "payments", "note", tidings.Web, "en", 1)
		wantCode(t, err, tidings.NotFound)
		if published, err := db.PublishedTemplates(ctx, "orders", "note"); err != nil || len(published) != 1 {
			t.Errorf("a version that does not exist took the place of %v, %v", published, err)
		}
		draft.Type = "no-such"
		_, err = db.CreateTemplate(ctx, draft)
		wantCode(t, err, tidings.NotFound)
	})
}

func TestVersionsCreatedAtOnceAreNumberedApart(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		const n = 8
		results := make(chan error, n)
		for range n {
			go func() {
				_, err := db.CreateTemplate(context.Background(), tidings.Template{Application: "orders", Type: "note", Channel: tidings.SMS, Locale: "en", Body: "B"})
				results <- err
			}()
		}
		for range n {
			must(t, <-results)
		}
		if all, err := db.Templates(context.Background(), "orders", "note"); err != nil || len(all) != n || all[n-1].Version != n {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// as is a context in which account acts.
func as(account string) context.Context {
	return tidings.WithActor(context.Background(), tidings.Actor{Account: account, Via: "api"})
}

func TestATemplateGoesOnlyAlongTheMoves(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		made, err := db.CreateTemplate(as("li"), tidings.Template{Application: "orders", Type: "note", Channel: tidings.SMS, Locale: "en", Body: "B", Signature: "【A】", ProviderCode: "P1"})
		must(t, err)
		ref := made.Ref()
		if made.Author != "li" || made.Signature != "【A】" || made.ProviderCode != "P1" {
			t.Errorf("%+v", made)
		}
		_, err = db.Publish(as("li"), ref, 100, false)
		wantCode(t, err, tidings.Conflict)
		_, err = db.ReviewTemplate(as("wang"), ref, tidings.TemplateApproved, "")
		wantCode(t, err, tidings.Conflict)
		_, err = db.SubmitTemplate(as("li"), ref)
		must(t, err)
		_, err = db.SubmitTemplate(as("li"), ref)
		wantCode(t, err, tidings.Conflict)
		_, err = db.ReviewTemplate(as("li"), ref, tidings.TemplateApproved, "mine is good")
		wantCode(t, err, tidings.Forbidden)
		if waiting, err := db.SubmittedTemplates(as("wang"), ""); err != nil || len(waiting) != 1 {
			t.Errorf("%v %v", waiting, err)
		}
		reviewed, err := db.ReviewTemplate(as("wang"), ref, tidings.TemplateApproved, "fine")
		must(t, err)
		if reviewed.State != tidings.TemplateApproved || reviewed.Reviewer != "wang" || reviewed.Comment != "fine" {
			t.Errorf("%+v", reviewed)
		}
		_, err = db.ReviewTemplate(as("zhao"), ref, tidings.TemplateRejected, "late")
		wantCode(t, err, tidings.Conflict)
		_, err = db.Publish(as("li"), ref, 50, false)
		wantCode(t, err, tidings.Conflict) // half of the stores would have none
		published, err := db.Publish(as("li"), ref, 100, false)
		must(t, err)
		if published.State != tidings.TemplatePublished || published.Percent != 100 {
			t.Errorf("%+v", published)
		}
		ref.Version = 9
		_, err = db.SubmitTemplate(as("li"), ref)
		wantCode(t, err, tidings.NotFound)
	})
}

func TestOfTwoReviewersAtOnceOneWins(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		made, err := db.CreateTemplate(as("li"), tidings.Template{Application: "orders", Type: "note", Channel: tidings.Web, Locale: "en", Body: "B"})
		must(t, err)
		_, err = db.SubmitTemplate(as("li"), made.Ref())
		must(t, err)
		results := make(chan error, 8)
		for i := range 8 {
			state := []tidings.TemplateState{tidings.TemplateApproved, tidings.TemplateRejected}[i%2]
			go func() {
				_, err := db.ReviewTemplate(as("reviewer"), made.Ref(), state, "")
				results <- err
			}()
		}
		won := 0
		for range 8 {
			if err := <-results; err == nil {
				won++
			} else {
				wantCode(t, err, tidings.Conflict)
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
	})
}

func TestAPartOfTheStoresAndTheWayBack(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		ctx, ref := as("root"), tidings.TemplateRef{Application: "orders", Type: "note", Channel: tidings.Web, Locale: "en"}
		for range 3 {
			_, err := db.CreateTemplate(ctx, tidings.Template{Application: "orders", Type: "note", Channel: tidings.Web, Locale: "en", Body: "B"})
			must(t, err)
		}
		inForce := func(want map[int]int) {
			t.Helper()
			published, err := db.PublishedTemplates(ctx, "orders", "note")
			must(t, err)
			got := map[int]int{}
			for _, p := range published {
				got[p.Version] = p.Percent
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("in force %v, want %v", got, want)
			}
		}
		publish := func(version, percent int) {
			t.Helper()
			ref.Version = version
			_, err := db.Publish(ctx, ref, percent, true)
			must(t, err)
		}
		publish(1, 100)
		publish(2, 10)
		inForce(map[int]int{1: 100, 2: 10})
		publish(2, 50)
		inForce(map[int]int{1: 100, 2: 50})
		publish(3, 20)
		inForce(map[int]int{1: 100, 3: 20})
		_, err := db.Rollback(ctx, ref)
		must(t, err)
		inForce(map[int]int{1: 100})
		publish(3, 100)
		inForce(map[int]int{3: 100})
		back := func(want int) {
			t.Helper()
			got, err := db.Rollback(ctx, ref)
			must(t, err)
			inForce(map[int]int{want: 100})
			if got.Version != want {
				t.Errorf("back to %d", got.Version)
			}
		}
		back(1) // 2 was never in force for all
		_, err = db.Rollback(ctx, ref)
		wantCode(t, err, tidings.Conflict)
		publish(2, 100)
		back(1)
		publish(3, 100)
		back(1) // 2 was rolled back for a reason
		publish(2, 100)
		publish(3, 100)
		back(2)
		back(1)
	})
}

func TestADiscardedVersionIsNotSent(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		ctx := as("op")
		made, err := db.CreateTemplate(ctx, tidings.Template{Application: "orders", Type: "note", Channel: tidings.SMS, Locale: "en", Body: "B"})
		must(t, err)
		if n, err := db.Discard(ctx, made.Ref()); err != nil || n != 0 {
			t.Errorf("%d %v", n, err)
		}
		other := made.Ref()
		other.Application = "payments"
		_, err = db.Discard(ctx, other)
		wantCode(t, err, tidings.NotFound)
	})
}

func TestAnApplicationIsAppliedForAndDecidedOnByAnother(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		must(t, db.CreateAccount(as("root"), tidings.Account{ID: "dev", Name: "Dev", Role: tidings.RoleDeveloper, State: tidings.AccountActive}))
		a := tidings.Application{ID: "coupons", Name: "Coupons", State: tidings.ApplicationApplied, AppliedBy: "dev", Purpose: "coupons", Channels: []tidings.Channel{tidings.Web}, Volume: 100}
		must(t, db.CreateApplication(as("dev"), a))
		wantCode(t, db.CreateApplication(as("dev"), a), tidings.Conflict)
		wantCode(t, db.SetApplicationState(as("root"), "coupons", tidings.ApplicationActive), tidings.Conflict)
		wantCode(t, db.DecideApplication(as("dev"), "coupons", tidings.ApplicationActive, ""), tidings.Forbidden)
		must(t, db.DecideApplication(as("wang"), "coupons", tidings.ApplicationRejected, "say what for"))
		wantCode(t, db.DecideApplication(as("zhao"), "coupons", tidings.ApplicationActive, ""), tidings.Conflict)
		other := a
		other.AppliedBy = "eve"
		wantCode(t, db.CreateApplication(as("eve"), other), tidings.Conflict)
		must(t, db.CreateApplication(as("dev"), a))
		must(t, db.DecideApplication(as("wang"), "coupons", tidings.ApplicationActive, "ok"))
		got, err := db.Application(as("dev"), "coupons")
		must(t, err)
		if a.State, a.Comment, a.DecidedBy = tidings.ApplicationActive, "ok", "wang"; got.State != a.State || got.DecidedBy != "wang" || got.Comment != "ok" || len(got.Channels) != 1 {
			t.Errorf("%+v", got)
		}
		if dev, err := db.Account(as("dev"), "dev"); err != nil || dev.Application != "coupons" {
			t.Errorf("%+v %v", dev, err)
		}
	})
}

func TestAnApplicationHasTwoKeysAtMost(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		results := make(chan error, 5)
		for i := range 5 {
			go func() {
				results <- db.CreateKey(as("li"), tidings.Key{ID: "k" + string(rune('0'+i)), Kind: tidings.ApplicationKey, Application: "orders", Scopes: []string{}})
			}()
		}
		made := 0
		for range 5 {
			if err := <-results; err == nil {
				made++
			} else {
				wantCode(t, err, tidings.Conflict)
			}
		}
		keys, err := db.Keys(as("li"), "orders")
		if err != nil || made != 2 || len(keys) != 2 {
			t.Fatalf("%d made, %v, %v", made, keys, err)
		}
		must(t, db.RevokeKey(as("li"), "orders", keys[0].ID))
		must(t, db.CreateKey(as("li"), tidings.Key{ID: "next", Kind: tidings.ApplicationKey, Application: "orders", Types: []string{"note"}, Channels: []tidings.Channel{tidings.Web}, MadeBy: "li"}))
		at := time.Now().UTC().Truncate(time.Minute)
		must(t, db.KeysUsed(as("li"), map[string]time.Time{"next": at, "unknown": at}))
		k, err := db.Key(as("li"), "next")
		if err != nil || !k.LastUsed.Equal(at) || k.MadeBy != "li" || len(k.Types) != 1 || len(k.Channels) != 1 {
			t.Errorf("%+v %v", k, err)
		}
	})
}

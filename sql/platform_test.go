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

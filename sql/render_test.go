package sql_test

import (
	"context"
	"fmt"
	"testing"

	"tidings"
	"tidings/internal/sqltest"
)

// Two segments of one message make the same content; the second to commit, in a process that does not know of the first,
// must find it and go on.
func TestTwoProcessesMakeTheSameContent(t *testing.T) {
	ctx, url := context.Background(), sqltest.Postgres(t)
	one, two := sqltest.Open(t, url), sqltest.Open(t, url)
	openShop(t, one)
	var crowd []tidings.User
	for i := range tidings.SegmentSize + 100 {
		crowd = append(crowd, tidings.User{ID: fmt.Sprintf("crowd%04d", i), Name: "Crowd", Memberships: []tidings.Membership{{Store: "r.1", Role: "clerk"}}})
	}
	must(t, one.PutUsers(ctx, crowd))
	accept(t, one, toStores("r.1"))
	open, err := one.Untouched(ctx, 0, 10)
	must(t, err)
	must(t, acquire(one, open[0]))
	open, err = one.Untouched(ctx, 0, 10)
	must(t, err)
	if len(open) != 2 {
		t.Fatalf("%d render segments", len(open))
	}
	must(t, render(one, open[0]))
	must(t, render(two, open[1]))
	drive(t, two)
	var contents, numbered int
	must(t, one.Raw().Get(&contents, "SELECT count(*) FROM contents WHERE channel = 'web'"))
	must(t, one.Raw().Get(&numbered, "SELECT count(*) FROM inbox WHERE user_id LIKE 'crowd%'"))
	if contents != 1 || numbered != len(crowd) {
		t.Errorf("%d contents, %d numbers", contents, numbered)
	}
	if b := balanced(t, one); len(b.Faults) > 0 {
		t.Errorf("%+v", b.Faults)
	}
}

package sql_test

import (
	"context"
	"testing"

	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestEveryQueryIsAcceptedByItsDatabase(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		if err := db.Ready(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

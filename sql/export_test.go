package sql

import "github.com/jmoiron/sqlx"

// Raw lets tests break the record behind the store's back.
func (db *DB) Raw() *sqlx.DB { return db.write }

package sql

import "github.com/jmoiron/sqlx"

// Raw lets tests break the record behind the store's back.
func (db *DB) Raw() *sqlx.DB { return db.write }

// Forget makes the store read the record for what is on its way.
func (db *DB) Forget() { db.recent = newRecent() }

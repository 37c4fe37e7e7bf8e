package sql

// Waiting is how many requests wait for a group commit, and how many commits are under way.
func (db *DB) Waiting() (requests, commits int) {
	db.accept.mu.Lock()
	defer db.accept.mu.Unlock()
	slots := 1
	if db.dialect.postgres {
		slots = 2
	}
	return len(db.accept.queue), slots - db.accept.free
}

// Begins is when a commit may begin, after one that began at last.
var Begins = begins

// CommitPace is the least time between the beginnings of two commits.
const CommitPace = commitPace

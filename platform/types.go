package platform

import "time"

const (
	// typesTime is how long a process may go on with a message type that was changed elsewhere.
	typesTime = 2 * time.Second
	// typesSize bounds the memory.
	typesSize = 10_000
)

// typeKey is an application's message type. One that does not exist is not kept, so that one just made can be used at once.
type typeKey struct{ application, name string }

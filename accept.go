package tidings

// Request is one POST that an application makes: one message or a batch of them, accepted together.
type Request struct {
	Application string
	Messages    []Message // IDs, Batch and AcceptedAt are set when they are accepted
	Key         string    // the Idempotency-Key; "": a repeated request is a new one
	Hash        string    // of method, path and body, to tell a repeated request from another under the same key
	// Respond writes the answer's body from the accepted messages. It is called inside the group commit, so that the
	// answer to a repeated request is stored with the request.
	Respond func([]Message) []byte
}

// Answer is what the caller of an accepted request is told.
type Answer struct {
	Body     []byte
	Replayed bool // the request had been accepted before, and this is the stored answer
}

// Span is a part of a user's numbered list: Limit numbers from behind After on.
type Span struct {
	User  string
	After int64
	Limit int
}

// Tail is what stands in a span, ascending. Numbers of what the user may no longer see are in Gone.
type Tail struct {
	Entries []Entry
	Gone    []int64
	Head    int64 // the last number of the list at the same moment
}

// Ack says that a client of the user has everything up to Number.
type Ack struct {
	User   string
	Number int64
}

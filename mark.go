package tidings

// Marked says that a user has marked notifications. It goes to his open connections as it is; who misses it asks the inbox.
type Marked struct {
	Mark Mark `json:"mark"`
	// IDs are the messages; none: everything up to UpTo.
	IDs    []ID `json:"ids,omitempty"`
	UpTo   ID   `json:"up_to,omitempty"`
	Unread int  `json:"unread"` // how many he has not read now
}

// UserMarked is what a user marked, or what was marked for him.
type UserMarked struct {
	User string
	Marked
}

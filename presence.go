package tidings

import "time"

// Transports are the ways in which a page listens, as a connection, /comet/<transport> and metrics have them.
var Transports = []string{"poll", "stream", "events", "ws"}

// Listener is a client of a user that is connected now: one browser profile, mostly.
type Listener struct {
	Client    string `json:"client"`
	Transport string `json:"transport"`
	Node      string `json:"node"`
	// Since is when it connected; a poll does so anew with each request.
	Since time.Time `json:"since"`
}

// CometNode is what one comet process says of itself every five seconds.
type CometNode struct {
	Node        string         `json:"node"`
	StartedAt   time.Time      `json:"started_at"`
	At          time.Time      `json:"at"` // when it said so
	Connections int            `json:"connections"`
	Most        int            `json:"most"` // connections that it may hold
	Transports  map[string]int `json:"transports"`
	Draining    bool           `json:"draining"`
}

// Presence is how many connections there are, in all and by node and transport.
type Presence struct {
	Connections int            `json:"connections"`
	Transports  map[string]int `json:"transports"`
	Nodes       []CometNode    `json:"nodes"`
}

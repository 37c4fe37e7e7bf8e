// Package tidings holds the words of the product and the rules between them.
//
// An application (an internal team) sends a message of one of its message types to an audience: merchants, their
// stores, users. The message passes four stages. Acquire asks who: the audience becomes one notification for each
// user. Render asks what: the published template of each channel and locale becomes content. Route asks which way:
// each notification becomes deliveries, one for each channel. Deliver hands each to the web page, or to the provider
// of its channel: a push service, an SMS gateway, a mail server. SQL holds the truth of every step; Redis only carries.
//
// The package imports the standard library alone, and its types know nothing of tables or queues.
package tidings

import (
	"fmt"
	"strings"
	"time"
)

// Lane is a priority class. Lanes have queues and workers of their own, so that a campaign never stands before a
// one-time code.
type Lane string

// The lanes.
const (
	Critical Lane = "critical"
	Normal   Lane = "normal"
	Bulk     Lane = "bulk"
)

// Lanes lists every lane, the most urgent first.
var Lanes = []Lane{Critical, Normal, Bulk}

// Valid tells whether l is a lane.
func (l Lane) Valid() bool { return l == Critical || l == Normal || l == Bulk }

// StageName is one of the four steps of the road.
type StageName string

// The stages, in the order in which a message passes them.
const (
	Acquire StageName = "acquire"
	Render  StageName = "render"
	Route   StageName = "route"
	Deliver StageName = "deliver"
)

// Stages lists the four stages in their order.
var Stages = []StageName{Acquire, Render, Route, Deliver}

// Grace is how long a segment may go untouched before the sweep asks what became of its task. Together with the sweep's
// interval it bounds the recovery after a lost Redis or a killed worker.
const Grace = 5 * time.Second

// SegmentSize is the most items a segment holds: one bounded step of work.
const SegmentSize = 500

// Segment is the unit that the stages pass on: at most SegmentSize items of one batch, lane and application at one
// stage. Its row is written in the transaction of what it works on and finished only after the stage's effect, so
// that whatever becomes of Redis, the work that is left can be read from SQL.
type Segment struct {
	ID          ID
	Parent      ID // the segment whose stage wrote this one; 0 for an acquire segment of a batch
	Batch       ID
	Lane        Lane
	Application string
	Stage       StageName
	Channel     Channel // deliver only
	Part        int     // its place among its parent's children
	Size        int     // items in it
	// Broadcast is the message of the broadcast that all items belong to; 0: they belong to none. Such segments are never merged with
	// others, so that one broadcast can be paused.
	Broadcast ID `json:",omitzero"`
	// Try is raised by the relay's sweep alone, when a task was lost. A task of an older try does nothing.
	Try int
}

// Queue names the queue that serves the segment: "normal-acquire", "critical-deliver-sms".
func (s Segment) Queue() string { return Queue(s.Lane, s.Stage, s.Channel) }

// Queue names the queue of a lane and stage (and, for deliver, channel).
func Queue(l Lane, s StageName, c Channel) string {
	if s == Deliver {
		return string(l) + "-" + string(s) + "-" + string(c)
	}
	return string(l) + "-" + string(s)
}

// TaskID says what the segment's task is: "<stage>:<batch>:<segment>:<try>", for deliver "deliver-<channel>:...".
func (s Segment) TaskID() string {
	stage := string(s.Stage)
	if s.Stage == Deliver {
		stage += "-" + string(s.Channel)
	}
	return fmt.Sprintf("%s:%s:%s:%d", stage, s.Batch, s.ID, s.Try)
}

// ValidName tells whether s may be the id of a merchant, store, user, application or message type: 1 to 64 of
// letters, digits and ._:@- beginning with a letter or digit. Braces are kept out because they would move a
// Redis key to another slot, commas because they separate dimensions in a notification.
func ValidName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("._:@-", rune(c))) {
			return false
		}
	}
	return true
}

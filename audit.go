package tidings

import (
	"context"
	"encoding/json"
	"time"
)

// Actor is who changes something, for the audit log.
type Actor struct {
	Account string // of a person: his account, RootAccount or "key:<id>"; of an application's key: who made it
	Key     string // the key he came with
	Via     string // "api", "console", "cli" or "system"
}

// UserActor is a user of the directory, who acts for himself.
func UserActor(user, via string) Actor { return Actor{Account: "user:" + user, Via: via} }

// Own tells whether it is the user himself who acts.
func (a Actor) Own(user string) bool { return a.Account == "user:"+user }

type actorKey struct{}

// WithActor says who acts in what is done with the context.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf tells who acts. Nobody having said so it is the system itself.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Account: "system", Via: "system"}
}

// Change is a row of the audit log. Each row's hash covers all of it and the hash of the row before, so that no row can be
// changed, taken out or moved without all that follow being made anew.
type Change struct {
	Number   int64           `json:"number"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"`
	Key      string          `json:"key,omitempty"`
	Via      string          `json:"via"`
	Action   string          `json:"action"` // "template.approve"; "template.approve refused"
	Object   string          `json:"object"` // "template shop/order.paid/sms/zh-CN/3"
	Detail   json.RawMessage `json:"detail"`
	Previous string          `json:"previous"`
	Hash     string          `json:"hash"`
}

// ChangeQuery selects rows of the audit log, the newest first. Empty fields select everything.
type ChangeQuery struct {
	Actor  string
	Action string // also a beginning that ends at a dot: "template" finds "template.approve"
	Object string // also a beginning
	Since  time.Time
	Before int64 // rows with smaller numbers; 0: from the end
	Limit  int
}

// AuditHead is the end of the audit log. Kept elsewhere, it proves later that nothing before it was changed.
type AuditHead struct {
	Number int64  `json:"number"`
	Hash   string `json:"hash"`
}

// AuditReport is what a check of the whole log found.
type AuditReport struct {
	Rows int64     `json:"rows"`
	Head AuditHead `json:"head"`
	Bad  int64     `json:"bad,omitempty"` // the first row that is wrong; 0: none
	Why  string    `json:"why,omitempty"` // what is wrong with it
}

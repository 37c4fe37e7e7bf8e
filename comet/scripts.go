package comet

import (
	"context"
	_ "embed"
	"errors"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/append.lua
var appendLua string

//go:embed lua/head.lua
var headLua string

//go:embed lua/register.lua
var registerLua string

//go:embed lua/release.lua
var releaseLua string

//go:embed lua/canary.lua
var canaryLua string

// Every key that a script touches carries the user in braces, so that in a cluster they lie in one slot.
var (
	appendScript   = redis.NewScript(appendLua)
	headScript     = redis.NewScript(headLua)
	registerScript = redis.NewScript(registerLua)
	releaseScript  = redis.NewScript(releaseLua)
	canaryScript   = redis.NewScript(canaryLua)
)

func streamKey(user string) string { return "stream:{" + user + "}" }
func headKey(user string) string   { return "head:{" + user + "}" }
func leaseKey(user string) string  { return "lease:{" + user + "}" }

// call is one run of a script.
type call struct {
	keys []string
	args []any
}

// run runs a script once for each call, in pipelines, and returns the answers in their order. A server that does not know
// the script (a restart, a failover) is given its text. The error is the first one; what else was called has been done.
func run(ctx context.Context, client redis.UniversalClient, script *redis.Script, calls []call) ([]*redis.Cmd, error) {
	answers := make([]*redis.Cmd, len(calls))
	runWith(ctx, client, calls, answers, script.EvalSha, func(c *redis.Cmd) bool { return c == nil })
	runWith(ctx, client, calls, answers, script.Eval, func(c *redis.Cmd) bool { return redis.HasErrorPrefix(c.Err(), "NOSCRIPT") })
	for _, c := range answers {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return answers, err
		}
	}
	return answers, nil
}

// pipelined is how many script calls go in one pipeline: enough that the round trip does not count, few enough that
// nothing else waits long for the connection.
const pipelined = 500

type eval func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

func runWith(ctx context.Context, client redis.UniversalClient, calls []call, answers []*redis.Cmd, eval eval, wanted func(*redis.Cmd) bool) {
	for from := 0; from < len(calls); from += pipelined {
		pipe := client.Pipeline()
		for i := from; i < min(from+pipelined, len(calls)); i++ {
			if wanted(answers[i]) {
				answers[i] = eval(ctx, pipe, calls[i].keys, calls[i].args...)
			}
		}
		if pipe.Len() > 0 {
			_, _ = pipe.Exec(ctx) // each answer carries its own error
		}
	}
}

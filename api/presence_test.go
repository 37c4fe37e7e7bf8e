package api_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
)

// present is who is connected in these tests: ann, by one client.
type present struct{ down atomic.Bool }

func (p *present) Presence(context.Context) (tidings.Presence, error) {
	if p.down.Load() {
		return tidings.Presence{}, errors.New("Redis at 10.0.0.9 is down")
	}
	return tidings.Presence{Connections: 1, Transports: map[string]int{"ws": 1}, Nodes: []tidings.CometNode{{Node: "n1", Connections: 1, Most: 9}}}, nil
}

func (p *present) Listeners(_ context.Context, user string) ([]tidings.Listener, error) {
	if p.down.Load() {
		return nil, errors.New("Redis at 10.0.0.9 is down")
	}
	if user != "ann" {
		return []tidings.Listener{}, nil
	}
	return []tidings.Listener{{Client: "c1", Transport: "ws", Node: "n1", Since: time.UnixMilli(1)}}, nil
}

func TestOperatorsSeeWhoIsConnected(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		if body := b.ok(200, "GET", "/v1/presence", adminToken, ""); !strings.Contains(body, `"node":"n1"`) || !strings.Contains(body, `"ws":1`) {
			t.Error(body)
		}
		if body := b.ok(200, "GET", "/v1/presence/ann", adminToken, ""); !strings.Contains(body, `"client":"c1","transport":"ws","node":"n1"`) {
			t.Error(body)
		}
		if body := b.ok(200, "GET", "/v1/presence/u1", adminToken, ""); !strings.Contains(body, `"data":[]`) {
			t.Error(body)
		}
		b.ok(404, "GET", "/v1/presence/nobody", adminToken, "")
		b.ok(404, "GET", "/v1/presence/a%20b", adminToken, "")
		b.ok(400, "GET", "/v1/presence?user=ann", adminToken, "")
		b.present.down.Store(true)
		for _, path := range []string{"/v1/presence", "/v1/presence/ann"} {
			if body := b.ok(503, "GET", path, adminToken, ""); strings.Contains(body, "10.0.0.9") {
				t.Error(body)
			}
		}
	})
}

package comet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestTheBrowserModuleReceivesEverythingOverEveryTransport(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for i := range 10 {
		g.send(s.Streams, "ann", fmt.Sprint("订单已发货 ", i+1))
	}
	done := make(chan struct{})
	go func() { // the rest comes while the module is connected
		defer close(done)
		g.until("the module is connected", func() bool { return s.Connections() > 0 })
		for i := range 10 {
			g.send(s.Streams, "ann", fmt.Sprint("订单已发货 ", i+11))
		}
	}()
	nodeTest(t, "js/tidings.test.mjs", "TIDINGS_URL="+s.url, "TIDINGS_TOKEN="+g.token("ann"))
	<-done
	if g.list.ackedOf("ann") == 0 {
		g.until("it acknowledged", func() bool { return g.list.ackedOf("ann") == 20 })
	}
}

func TestTheBrowserModuleOnNetworksThatAreNotWell(t *testing.T) { nodeTest(t, "js/network.test.mjs") }

func TestTheTypesSayWhatTheModulesHave(t *testing.T) { nodeTest(t, "js/types.test.mjs") }

// nodeTest runs a test of the module's.
func nodeTest(t *testing.T, file string, env ...string) {
	t.Helper()
	bounded, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(bounded, "node", "--test", file)
	command.WaitDelay = time.Second
	command.Env = append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

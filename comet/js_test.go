package comet

import (
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
	command := exec.CommandContext(t.Context(), "node", "--test", "js/tidings.test.mjs")
	command.WaitDelay = time.Second
	command.Env = append(os.Environ(), "TIDINGS_URL="+s.url, "TIDINGS_TOKEN="+g.token("ann"))
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	<-done
	if g.list.ackedOf("ann") == 0 {
		g.until("it acknowledged", func() bool { return g.list.ackedOf("ann") == 20 })
	}
}

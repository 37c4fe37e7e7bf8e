package comet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

func TestATypeScriptProgramUsesThePackage(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/types")); err != nil {
		t.Fatal(err)
	}
	quiet := []string{"--no-audit", "--no-fund", "--prefer-offline", "--silent"}
	outcome(t, dir, nil, "npm", append([]string{"ci", "--ignore-scripts"}, quiet...)...)
	module, err := filepath.Abs("js")
	if err != nil {
		t.Fatal(err)
	}
	packed := strings.TrimSpace(outcome(t, dir, nil, "npm", "pack", "--silent", module)) // what a bundler would get
	outcome(t, dir, nil, "npm", append([]string{"install", "--no-save", "./" + packed}, quiet...)...)
	outcome(t, dir, nil, "node_modules/.bin/tsc")
}

// nodeTest runs a test of the module's.
func nodeTest(t *testing.T, file string, env ...string) { outcome(t, ".", env, "node", "--test", file) }

// outcome runs a command that must succeed and returns its output.
func outcome(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	bounded, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(bounded, name, args...)
	command.WaitDelay = time.Second
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

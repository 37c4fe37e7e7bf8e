package baidu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestTheNPMClientIsUnderstood runs a client that others wrote against the simulator: our sender and our simulator could
// agree on the same mistake.
func TestTheNPMClientIsUnderstood(t *testing.T) {
	dir := installNodeClient(t)
	now := time.Now() // it stands still: a burst that comes slowly is one too
	s := New(Config{Strict: true, Apps: []App{{Key: "AK", Secret: "SK~'()", Rate: 5}}, Now: func() time.Time { return now }})
	s.Bind("AK", device)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(s.Close)
	out := run(t, dir, []string{"http_proxy=" + server.URL, "HTTP_PROXY=" + server.URL, "no_proxy=", "NO_PROXY="},
		"node", "check.js", "AK", "SK~'()", device, "12")
	codes := map[string]map[int]int{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var line struct {
			Step string `json:"step"`
			Code int    `json:"code"`
			ID   string `json:"msg_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || (line.Code == 0) != (line.ID != "") {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if codes[line.Step] == nil {
			codes[line.Step] = map[int]int{}
		}
		codes[line.Step][line.Code]++
	}
	if codes["chinese"][0] != 1 || codes["marks"][0] != 1 || codes["wrong secret"][unauthenticated] != 1 || codes["burst"][tooFrequent] == 0 {
		t.Errorf("%v", codes)
	}
	for i, want := range []string{"订单 已发货", "~*()'! +%&="} {
		var m struct{ Description string }
		if err := json.Unmarshal([]byte(s.Records()[i].Msg), &m); err != nil || m.Description != want {
			t.Errorf("%s: %v", s.Records()[i].Msg, err)
		}
	}
}

// installNodeClient installs the client beside check.js in a directory of its own.
func installNodeClient(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "check.js"} {
		b, err := os.ReadFile(filepath.Join("../../../scripts/node-baidu", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	return dir
}

func run(t *testing.T, dir string, env []string, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, problems.String())
	}
	return out.Bytes()
}

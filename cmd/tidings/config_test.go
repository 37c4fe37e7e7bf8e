package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// settingsPage writes docs/settings.md from the table.
func settingsPage() string {
	var b strings.Builder
	b.WriteString("# Settings\n\nA flag goes before the environment, the environment before `tidings.yaml` (or the file that `--config` names), that before\n" +
		"the default. `tidings config` prints what is in force. This page is made from the table in `cmd/tidings/config.go`; a test compares\nthem (`TIDINGS_UPDATE=1 go test ./cmd/tidings -run Settings` writes it anew).\n\n" +
		"| environment | flag | `tidings.yaml` | default | why |\n|---|---|---|---|---|\n")
	for _, s := range settings {
		b.WriteString("| `" + s.env() + "` | `--" + s.name + "` | `" + s.key() + "` | " + code(s.fallback) + " | " + s.reason + " |\n")
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func TestThePageOfSettingsIsTheTable(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "settings.md")
	if os.Getenv("TIDINGS_UPDATE") != "" {
		if err := os.WriteFile(name, []byte(settingsPage()), 0o644); err != nil { //nolint:gosec // a page
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil || string(b) != settingsPage() {
		t.Errorf("docs/settings.md is not the table (%v): TIDINGS_UPDATE=1 go test ./cmd/tidings -run Settings", err)
	}
}

func TestAFlagGoesBeforeTheEnvironmentBeforeTheFileBeforeTheDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidings.yaml")
	if err := os.WriteFile(file, []byte("listen: from-file\ndata: from-file\nlanes: [critical, bulk]\nkannel_user: from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"TIDINGS_CONFIG": file, "TIDINGS_LISTEN": "from-env", "TIDINGS_DATA": "from-env"}
	out, _, err := tidingsCommand(t, env, "config", "--listen", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"listen\tfrom-flag\tflag", "data\tfrom-env\tenvironment", "kannel-user\tfrom-file\ttidings.yaml",
		"lanes\tcritical,bulk\ttidings.yaml", "log-level\tinfo\tdefault"} {
		if !strings.Contains(out, want) {
			t.Errorf("config does not print %q:\n%s", want, out)
		}
	}
}

func TestConfigShowsNoSecret(t *testing.T) {
	env := map[string]string{"TIDINGS_SECRET": "scheme:very-secret-words-of-32-letters", "TIDINGS_ADMIN_TOKEN": "very-secret", "TIDINGS_KEY": "tdk_very-secret",
		"TIDINGS_DATABASE_URL": "postgres://u:very-secret@db/t?sslpassword=very-secret", "TIDINGS_REDIS_URL": "redis://:very-secret@r:1/0"}
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		out, errout, err := tidingsCommand(t, env, args...)
		if err != nil || strings.Contains(out+errout, "very-secret") {
			t.Errorf("%v: %v\n%s%s", args, err, out, errout)
		}
	}
}

func TestAMisspeltSettingInTheFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidings.yaml")
	if err := os.WriteFile(file, []byte("listn: :80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tidingsCommand(t, nil, "config", "--config", file); err == nil || !strings.Contains(err.Error(), `"listn"`) {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings"
)

func TestQuotasAndPreviewsFromTheCommandLine(t *testing.T) {
	u := startDemoUp(t, nil)
	token, err := os.ReadFile(filepath.Join(u.data, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	admin := map[string]string{"TIDINGS_URL": u.env["TIDINGS_URL"], "TIDINGS_ADMIN_TOKEN": strings.TrimSpace(string(token))}
	cli := func(env map[string]string, args ...string) string {
		t.Helper()
		out, errout, err := tidingsCommand(t, env, args...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, errout)
		}
		return out
	}
	var apps []tidings.Application
	if err := json.Unmarshal([]byte(cli(admin, "app", "ls", "--json")), &apps); err != nil || len(apps) == 0 {
		t.Fatal(apps, err)
	}
	app := apps[0].ID
	cli(admin, "quota", "set", app, "--rate", "50", "--daily", "sms=5000", "--sms-budget", "100")
	if out := cli(admin, "quota", "get", app); !strings.Contains(out, "sms a day\t5000\n") || !strings.Contains(out, "rate\t50 a second\n") || !strings.Contains(out, "web a day\tnone\n") {
		t.Errorf("%s", out)
	}
	message := []string{u.env["TIDINGS_TYPE"], "--user", u.env["TIDINGS_USER"], "--data", exampleData(t, u)}
	out := cli(u.env, append([]string{"send", "--preview"}, message...)...)
	for _, want := range []string{u.env["TIDINGS_USER"] + "\tu\tsms\tqueued", "SMS parts (ucs2)", "1 users; ", "are left this month; nothing was sent"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var v tidings.Preview
	if err := json.Unmarshal([]byte(cli(u.env, append([]string{"send", "--preview", "--json"}, message...)...)), &v); err != nil || v.Users != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	cli(u.env, append([]string{"send", "--wait"}, message...)...)
	if out := cli(admin, "quota", "usage", app); !strings.Contains(out, "sms today: 1 of 5000 used") || !strings.Contains(out, "spent and") {
		t.Errorf("%s", out)
	}
	if _, _, err := tidingsCommand(t, admin, "quota", "set", app, "--daily", "fax=1"); err == nil {
		t.Error("a quota for a channel that is none")
	}
}

func exampleData(t *testing.T, u *up) string {
	t.Helper()
	var body struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(u.env["TIDINGS_EXAMPLE"]), &body); err != nil {
		t.Fatal(err)
	}
	return string(body.Data)
}

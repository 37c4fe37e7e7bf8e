package walk

import (
	"database/sql"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // to change what nobody may change

	"tidings"
)

// shell is somebody at a shell with one credential.
type shell struct {
	t       *testing.T
	setting string
}

// ok runs a command that has to do its work.
func (s shell) ok(args ...string) string {
	s.t.Helper()
	out, errout, exit := command(s.t, []string{s.setting}, args...)
	if exit != 0 {
		s.t.Fatalf("tidings %s exits %d: %s", strings.Join(args, " "), exit, errout)
	}
	return strings.TrimSpace(out)
}

// refused runs a command that must not, and wants a word in what it says.
func (s shell) refused(word string, args ...string) {
	s.t.Helper()
	if out, errout, exit := command(s.t, []string{s.setting}, args...); exit == 0 || !strings.Contains(errout, word) {
		s.t.Errorf("tidings %s exits %d: %s %s", strings.Join(args, " "), exit, out, errout)
	}
}

func TestTheWalkByCommandLine(t *testing.T) {
	admin := shell{t, "TIDINGS_ADMIN_TOKEN=" + root(t).token}
	account := func(id, role string) shell {
		admin.ok("account", "create", id, "--role", role)
		return shell{t, "TIDINGS_KEY=" + admin.ok("key", "create", "--account", id)}
	}
	dev, boss := account("shell-dev", "developer"), account("shell-boss", "approver")
	admin.ok("merchant", "put", "shell", "--name", "Merchant")
	admin.ok("store", "put", "shell-1", "--merchant", "shell", "--name", "Store")
	admin.ok("user", "put", "shell-lin", "--name", "Lin", "--locale", "zh-CN", "--member", "s:shell-1:manager")

	dev.ok("app", "apply", "shell", "--name", "The shell", "--owner", "shell@example.com", "--purpose", "orders", "--channel", "web", "--volume", "1000")
	dev.refused("may not", "app", "approve", "shell")
	boss.ok("app", "approve", "shell", "--comment", "welcome")
	until(t, "the developer belongs to his application", func() bool {
		_, _, exit := command(t, []string{dev.setting}, "type", "ls")
		return exit == 0
	})
	sender := shell{t, "TIDINGS_KEY=" + dev.ok("key", "create", "--app", "shell", "--scope", "messages:send", "--scope", "messages:read")}
	dev.ok("type", "put", "order.paid", "--channel", "web", "--var", "order:string!=A-1")
	version := []string{"order.paid", "--channel", "web", "--locale", "zh-CN", "--version", "1"}
	on := func(verb string, more ...string) []string {
		return append(append([]string{"template", verb}, version...), more...)
	}
	dev.ok("template", "create", "order.paid", "--channel", "web", "--locale", "zh-CN", "--title", "订单已付款", "--body", "订单 {{ order }} 已付款")
	dev.refused("", on("publish")...)
	if report := dev.ok(on("submit")...); !strings.Contains(report, "订单 A-1 已付款") {
		t.Errorf("the report is %s", report)
	}
	if queue := boss.ok("template", "queue"); !strings.Contains(queue, "shell-dev") {
		t.Errorf("the queue is %s", queue)
	}
	dev.refused("may not", on("approve")...)
	boss.ok(on("approve", "--app", "shell")...)
	dev.ok(on("publish")...)

	message := []string{"send", "order.paid", "--store", "shell-1", "--data", `{"order":"B-78"}`}
	if preview := sender.ok(append(message, "--preview")...); !strings.Contains(preview, "订单 B-78 已付款") || !strings.Contains(preview, "shell-lin") {
		t.Errorf("the preview is %s", preview)
	}
	trace := sender.ok(append(message, "--wait")...)
	if !strings.Contains(trace, "shell-lin") {
		t.Errorf("the trace is %s", trace)
	}
	token := read[struct{ Token string }](t, root(t).must(201, "POST", "/v1/tokens?application=shell", object{"user": "shell-lin"})).Token
	lin := shell{t, "TIDINGS_TOKEN=" + token}
	inbox := read[list[tidings.InboxItem]](t, lin.ok("history", "--unread", "--json"))
	if len(inbox.Data) != 1 || inbox.Data[0].Body != "订单 B-78 已付款" {
		t.Fatalf("the inbox is %+v", inbox.Data)
	}
	lin.ok("mark", "read", inbox.Data[0].ID.String())
	if left := read[list[tidings.InboxItem]](t, lin.ok("history", "--unread", "--json")); len(left.Data) != 0 {
		t.Errorf("unread is still %+v", left.Data)
	}
	till := shell{t, "TIDINGS_KEY=" + admin.ok("key", "create", "--store", "shell-1")}
	if past := till.ok("history", "--store", "shell-1"); !strings.Contains(past, inbox.Data[0].ID.String()) || !strings.Contains(past, "1 of 1") {
		t.Errorf("the store's history is %s", past)
	}

	log := admin.ok("audit", "log", "--actor", "shell-dev", "--limit", "200")
	for _, action := range []string{"application.apply", "key.create", "type.put", "template.create", "template.submit", "template.publish"} {
		if !strings.Contains(log, action) {
			t.Errorf("the audit log lacks %s: %s", action, log)
		}
	}
	if !strings.Contains(log, "cli") {
		t.Error("the audit log does not tell that it came by the command line")
	}
	auditIsWatched(t, admin)
}

// auditIsWatched changes, deletes and swaps rows of the audit log behind everybody's back, one after the other.
func auditIsWatched(t *testing.T, admin shell) {
	t.Helper()
	if said := admin.ok("audit", "verify"); !strings.Contains(said, "rows are well") {
		t.Errorf("the whole log: %s", said)
	}
	db, err := sql.Open("sqlite", up.database+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, harm := range []struct{ what, do, undo, names string }{
		{"changed", `UPDATE audit_log SET actor = actor || 'x' WHERE number = 3`, `UPDATE audit_log SET actor = substr(actor, 1, length(actor) - 1) WHERE number = 3`, "row 3 is wrong"},
		{"deleted", `UPDATE audit_log SET number = -4 WHERE number = 4`, `UPDATE audit_log SET number = 4 WHERE number = -4`, "is wrong"},
		{"reordered", swap, swap, "row 5 is wrong"},
	} {
		if _, err := db.Exec(harm.do); err != nil {
			t.Fatal(err)
		}
		out, errout, exit := command(t, []string{admin.setting}, "audit", "verify")
		if exit != 1 || !strings.Contains(out, harm.names) {
			t.Errorf("a row is %s, and verify exits %d: %s %s", harm.what, exit, out, errout)
		}
		if _, err := db.Exec(harm.undo); err != nil {
			t.Fatal(err)
		}
	}
	admin.ok("audit", "verify")
}

// swap has rows 5 and 6 change places.
const swap = `UPDATE audit_log SET number = -5 WHERE number = 5; UPDATE audit_log SET number = 5 WHERE number = 6; UPDATE audit_log SET number = 6 WHERE number = -5`

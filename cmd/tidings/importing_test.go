package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// directoryOf is the program with an empty file system of its own and the ids of what is in the directory.
type directoryOf struct {
	t   *testing.T
	env map[string]string
	dir string
}

func (d directoryOf) file(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// imports runs 'tidings import' and checks how it ends: with 0, or with 1 and what it says on standard error.
func (d directoryOf) imports(want string, args ...string) (out string) {
	d.t.Helper()
	out, errout, err := tidingsCommand(d.t, d.env, append([]string{"import"}, args...)...)
	if said := errout + fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(said, want) {
		d.t.Fatalf("import %v: %v, said\n%s%s, want %q", args, err, out, errout, want)
	}
	return out
}

func (d directoryOf) ids(kind string) string {
	d.t.Helper()
	out, errout, err := tidingsCommand(d.t, d.env, kind, "ls", "--json")
	if err != nil {
		d.t.Fatal(err, errout)
	}
	var all []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		d.t.Fatal(err)
	}
	var ids []string
	for _, one := range all {
		ids = append(ids, one.ID)
	}
	return strings.Join(ids, " ")
}

func TestAnImportTakesTablesAndReportsWhatItRefuses(t *testing.T) {
	u := startDemoUp(t, nil)
	d := directoryOf{t, map[string]string{"TIDINGS_URL": u.url, "TIDINGS_ADMIN_TOKEN": u.env["TIDINGS_ADMIN_TOKEN"]}, t.TempDir()}

	d.imports("", d.file("m.csv", "\ufeffmerchant,name,attributes\nacme,\"Acme, Inc.\",tier=gold\nold,Old,\n"),
		d.file("s.csv", "store,merchant,timezone,hours,holidays,attributes\nacme-1,acme,Asia/Shanghai,mon-fri 09:00-18:00,2026-10-01,floor=2\nold-1,old,,,,\n"))
	out, _, err := tidingsCommand(t, d.env, "store", "ls", "--merchant", "acme")
	if err != nil || !strings.Contains(out, "mon-fri 09:00-18:00\tfloor=2") {
		t.Errorf("%q, %v", out, err)
	}

	users := d.file("u.csv", "user,name,memberships,sms,deleted\n"+
		"u-lin,林,m:acme:owner s:acme-1:manager,+8613800138000,\n"+
		"u-bad,Bad,s:none:clerk,,\n"+
		"u-phone,Phone,s:acme-1:clerk,12345,\n"+
		"u-short,only\n"+
		"u-form,Form,acme,,perhaps\n"+
		"\"u-quote\"x,Quote,,,\n"+
		"u-li,李,s:old-1:clerk,,\n"+
		"u-gbk,\xc0\xee,s:old-1:clerk,,\n"+
		"u-lin2,林,s:acme-1:clerk,,no\n")
	report := filepath.Join(d.dir, "refused.csv")
	d.imports("u.csv:3: ", "--report", report, users)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"file,line,field,code,why\n", users + ",3,memberships[0].store,unknown,", users + ",4,addresses[0].value,malformed,",
		users + ",5,,malformed,", users + ",6,deleted,malformed,", users + ",6,memberships,malformed,", users + ",7,,invalid,", users + ",9,name,malformed,"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if got := strings.Count(string(text), "\n"); got != 8 {
		t.Errorf("the report has %d lines:\n%s", got, text)
	}
	ids := " " + d.ids("user") + " "
	for _, id := range []string{"u-lin", "u-li", "u-lin2", "u-phone"} {
		if !strings.Contains(ids, " "+id+" ") {
			t.Errorf("%s was not taken: %s", id, ids)
		}
	}

	// As JSON, with exit code 1 as before; broken lines of JSON.
	out = d.imports("l.jsonl:2: ", "--json", d.file("l.jsonl", `{"user":{"id":"u-li","deleted":true}}`+"\n{broken\n\n"+`{"store":{"id":"old-1","deleted":true}}`+"\n"))
	var r importReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Deleted != 2 || r.Refused != 1 || len(r.Problems) != 1 || r.Problems[0].Line != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err := tidingsCommand(t, d.env, "import", filepath.Join(d.dir, "l.jsonl")); !errors.Is(err, errQuiet) {
		t.Errorf("refused lines end the command with %v", err)
	}
	d.imports("no column", d.file("x.csv", "user,colour\nu,red\n"))
	d.imports("must be merchant, store or user", d.file("y.csv", "who\nu\n"))
}

func TestASyncDeletesWhatTheFilesDoNotName(t *testing.T) {
	u := startDemoUp(t, nil)
	d := directoryOf{t, map[string]string{"TIDINGS_URL": u.url, "TIDINGS_ADMIN_TOKEN": u.env["TIDINGS_ADMIN_TOKEN"]}, t.TempDir()}
	all := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, `{"user":{"id":"p%03d","memberships":[]}}`+"\n", i)
		}
		return b.String()
	}
	stores := d.ids("store")
	d.imports("", "--sync", "--force", d.file("u.jsonl", all(0, 250))) // more than a page of the list
	if n := len(strings.Fields(d.ids("user"))); n != 250 {
		t.Fatalf("%d users after a forced sync", n)
	}
	d.imports("60 of 250 users are not in the files, more than 20 %", "--sync", d.file("u.jsonl", all(60, 250)))
	d.imports("nothing was deleted: 1 lines could not be understood", "--sync", d.file("u.jsonl", all(10, 250)+"{broken\n"))
	if n := len(strings.Fields(d.ids("user"))); n != 250 {
		t.Fatalf("%d users after a sync that must not delete", n)
	}
	// A line that is refused keeps what it names; what is named by a tombstone goes.
	out := d.imports("u.jsonl:1: ", "--sync", d.file("u.jsonl", `{"user":{"id":"p000","locale":"?"}}`+"\n"+`{"user":{"id":"p001","deleted":true}}`+"\n"+all(40, 250)))
	if !strings.Contains(out, "210 users") || !strings.Contains(out, "39 deleted; 1 lines refused") {
		t.Errorf("%s", out)
	}
	if ids := d.ids("user"); !strings.HasPrefix(ids, "p000 p040 ") {
		t.Errorf("left: %s", ids)
	}
	if got := d.ids("store"); got != stores || got == "" {
		t.Errorf("a sync of users left the stores %q, there were %q", got, stores)
	}
}

package walk

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidings"
	"tidings/internal/chromiumtest"
)

// notices makes an application with a published type for the web, and a merchant with people in two stores of two regions.
func notices(t *testing.T, id string) {
	t.Helper()
	admin := root(t)
	admin.must(201, "POST", "/v1/applications", object{"id": id, "name": id})
	admin.must(200, "PUT", "/v1/types/order.paid?application="+id, orderPaid())
	admin.must(201, "POST", "/v1/templates?application="+id, webTemplate())
	admin.must(200, "POST", "/v1/templates/publish?application="+id, object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": 1, "unreviewed": true})
	lines := strings.ReplaceAll(`{"merchant":{"id":"ID","name":"Merchant"}}
{"store":{"id":"ID-1","merchant":"ID","name":"East","region":"east"}}
{"store":{"id":"ID-2","merchant":"ID","name":"West","region":"west"}}
{"user":{"id":"ID-a","name":"A","locale":"zh-CN","memberships":[{"store":"ID-1","role":"clerk"}]}}
{"user":{"id":"ID-b","name":"B","locale":"zh-CN","memberships":[{"store":"ID-1","role":"clerk"}]}}
{"user":{"id":"ID-c","name":"C","locale":"zh-CN","memberships":[{"store":"ID-2","role":"clerk"}]}}`, "ID", id)
	if code, text := importLines(admin, lines); code != 200 || !strings.Contains(text, `"refused":0`) {
		t.Fatalf("import answers %d: %s", code, text)
	}
}

// marks has a user read a message once it is in his inbox.
func marks(t *testing.T, application, user string, id tidings.ID) {
	t.Helper()
	page := as(t, read[struct{ Token string }](t, root(t).must(201, "POST", "/v1/tokens?application="+application, object{"user": user})).Token)
	until(t, "the broadcast is in the inbox", func() bool {
		return len(get[list[tidings.InboxItem]](page, "/v1/inbox?unread=true").Data) == 1
	})
	page.must(200, "POST", "/v1/inbox/read", object{"ids": []string{id.String()}})
}

// mustRead is a broadcast of an application to its merchant.
func mustRead(id string) object {
	return object{"type": "order.paid", "audience": object{"merchants": []string{id}}, "data": object{"order": "N-1"}, "channels": []string{"web"}, "must_read": true}
}

func TestABroadcastByAPI(t *testing.T) {
	notices(t, "castapi")
	admin := root(t)
	sender := as(t, read[struct{ Key string }](t, admin.must(201, "POST", "/v1/applications/castapi/keys", object{"scopes": []string{"messages:send", "messages:read"}})).Key)

	everyone := mustRead("castapi")
	everyone["audience"] = object{"everyone": true}
	sender.must(403, "POST", "/v1/broadcasts", everyone)
	wrong := mustRead("castapi")
	wrong["reminders"] = []object{{"after": "24h", "channels": []string{"email"}}}
	if text := sender.must(422, "POST", "/v1/broadcasts", wrong); !strings.Contains(text, "reminders[0].channels") {
		t.Errorf("a reminder on a channel that is not the message's: %s", text)
	}
	// Held by its time, it is slowed, paused and resumed before anything is sent.
	later := mustRead("castapi")
	later["send_at"], later["reminders"] = inDays(30, time.RFC3339), []object{{"after": "24h"}}
	later["expires_at"] = inDays(34, time.RFC3339)
	id := read[struct{ ID tidings.ID }](t, sender.must(202, "POST", "/v1/broadcasts", later)).ID
	self := "/v1/broadcasts/" + id.String()
	for _, c := range []struct{ verb, state string }{{"pause", "paused"}, {"resume", "running"}} {
		sender.must(200, "POST", self+"/"+c.verb, nil)
		if b := get[tidings.Broadcast](sender, self); string(b.State) != c.state || b.Progress.Audience != 3 || len(b.Reminders) != 1 {
			t.Errorf("after %s it is %+v %+v", c.verb, b, b.Progress)
		}
	}
	sender.must(200, "PUT", self+"/rate", object{"rate": 7})
	if b := get[tidings.Broadcast](sender, self); b.Rate != 7 {
		t.Errorf("the rate is %d", b.Rate)
	}
	sender.must(200, "POST", self+"/cancel", nil)
	sender.must(409, "POST", self+"/resume", nil)
	if b := get[tidings.Broadcast](sender, self); b.State != tidings.BroadcastCanceled || b.Reminders[0].State != tidings.ReminderDropped {
		t.Errorf("canceled it is %+v", b)
	}

	// Another goes out, to its end, and the same key makes no second one.
	id = read[struct{ ID tidings.ID }](t, sender.must(202, "POST", "/v1/broadcasts", mustRead("castapi"))).ID
	self = "/v1/broadcasts/" + id.String()
	marks(t, "castapi", "castapi-a", id)
	until(t, "the broadcast is done", func() bool { return get[tidings.Broadcast](sender, self).State == tidings.BroadcastDone })
	b := get[tidings.Broadcast](sender, self)
	if p := b.Progress; p.Percent != 100 || p.Audience != 3 || p.Frozen != 3 || p.Routed != 3 || p.Read != 1 || p.Estimated {
		t.Errorf("the progress is %+v", p)
	}
	for path, want := range map[string]string{
		"":                                  "region 3 1: east 2 1, west 1 0",
		"?region=east":                      "merchant 2 1: castapi 2 1",
		"?region=east&merchant=castapi":     "store 2 1: castapi-1 2 1",
		"?merchant=castapi&store=castapi-1": "person 2 1: castapi-a 1 1, castapi-b 1 0",
	} {
		if got := treeText(get[tidings.Reads](sender, self+"/reads"+path)); got != want {
			t.Errorf("reads%s: %s, not %s", path, got, want)
		}
	}
	proof := sender.must(200, "GET", self+"/proof", nil)
	seal, err := tidings.CheckProof(strings.NewReader(proof))
	if err != nil || strings.Count(proof, "castapi-1") != 2 {
		t.Fatalf("the proof: %v %s", err, proof)
	}
	if verdict := sender.must(200, "POST", "/v1/broadcasts:verify", seal); !strings.Contains(verdict, "true") {
		t.Errorf("verify: %s", verdict)
	}
	seal.Lines++
	if verdict := sender.must(200, "POST", "/v1/broadcasts:verify", seal); !strings.Contains(verdict, "false") {
		t.Errorf("verify of a forged seal: %s", verdict)
	}
}

func treeText(r tidings.Reads) string {
	var nodes []string
	for _, n := range r.Nodes {
		nodes = append(nodes, strings.Join([]string{n.ID, strconv.Itoa(n.Total), strconv.Itoa(n.Read)}, " "))
	}
	return r.Level + " " + strconv.Itoa(r.Total) + " " + strconv.Itoa(r.Read) + ": " + strings.Join(nodes, ", ")
}

func TestABroadcastByCommandLine(t *testing.T) {
	notices(t, "castcli")
	s := shell{t, "TIDINGS_ADMIN_TOKEN=" + root(t).token}
	create := []string{"broadcast", "create", "order.paid", "--app", "castcli", "--merchant", "castcli", "--channel", "web", "--data", `{"order":"N-2"}`, "--must-read"}
	id := s.ok(append(create, "--in", "1h", "--remind", "24h", "--rate", "9")...)
	for _, c := range []struct{ verb, word string }{{"pause", "paused"}, {"resume", "running"}, {"cancel", "canceled"}} {
		s.ok("broadcast", c.verb, id)
		if said := s.ok("broadcast", "show", id); !strings.Contains(said, c.word) || c.verb != "cancel" && !strings.Contains(said, "3 users") || !strings.Contains(said, "9 notifications a second") {
			t.Errorf("after %s: %s", c.verb, said)
		}
	}
	s.refused("canceled", "broadcast", "resume", id)
	s.refused("no number", "broadcast", "rate", id, "fast")

	id = s.ok(create...)
	parsed, err := tidings.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	marks(t, "castcli", "castcli-c", parsed)
	if said := s.ok("broadcast", "show", "-f", id); !strings.Contains(said, "100.0 %") || !strings.Contains(said, "done") || !strings.Contains(said, "1 read it") {
		t.Errorf("the end: %s", said)
	}
	if list := s.ok("broadcast", "ls", "--app", "castcli"); !strings.Contains(list, id) || !strings.Contains(list, "3/3") {
		t.Errorf("ls: %s", list)
	}
	if tree := s.ok("broadcast", "reads", id); !strings.Contains(tree, "1 of 3 have read it") || !strings.Contains(tree, "west") || !strings.Contains(tree, "0/2") {
		t.Errorf("reads: %s", tree)
	}
	if tree := s.ok("broadcast", "reads", id, "--merchant", "castcli", "--store", "castcli-2"); !strings.Contains(tree, "castcli-c") || !strings.Contains(tree, "1/1") {
		t.Errorf("reads of a store: %s", tree)
	}
	for _, format := range []string{"csv", "jsonl"} {
		file := filepath.Join(t.TempDir(), "proof")
		text := s.ok("broadcast", "proof", id, "--format", format) + "\n"
		write(t, file, text)
		if said := s.ok("broadcast", "verify", file); !strings.Contains(said, "as they were signed") {
			t.Errorf("verify: %s", said)
		}
		write(t, file, strings.Replace(text, "castcli-a", "castcli-b", 1))
		s.refused("is not what was written", "broadcast", "verify", file)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// press presses what stands in a part of the page that is renewed: a click by coordinates may come between.
func press(selector string) chromiumtest.Step {
	return sees(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e?.click(); return !!e })()`, selector))
}

func inDays(n int, layout string) string { return time.Now().AddDate(0, 0, n).Format(layout) }

// castByConsole makes a broadcast on the console, watches and steers it, and looks at who has read it.
func castByConsole(t *testing.T, dev window, token string) {
	t.Helper()
	const live = `document.getElementById("progress")`
	dev.Do(visit("/console/broadcasts/new?application=web"), fill("#merchants", "web"), fill("#data", `{"order":"B-80"}`), fill("#send_at", inDays(30, "2006-01-02T15:04")), fill("#expires_at", inDays(34, "2006-01-02T15:04")),
		fill("#remind", "24h"), fill("#rate", "50"), click(`input[name="must_read"]`), click(`button[value="preview"]`), reads("web-lin"))
	dev.Picture("walk-cast-preview")
	dev.Do(agree(), click(`button[value="send"]`), sees(`/^\/console\/broadcasts\/[0-9a-z]+$/.test(location.pathname)`), sees(`!!`+live),
		press(`form[action$="/pause"] button`), sees(`!!document.querySelector('form[action$="/resume"]')`))
	// What somebody else does shows by itself.
	id := get[list[tidings.Broadcast]](root(t), "/v1/broadcasts?application=web").Data[0].ID
	self := "/v1/broadcasts/" + id.String()
	root(t).must(200, "POST", self+"/resume", nil)
	dev.Do(sees(`!!document.querySelector('form[action$="/pause"]')`))
	dev.Picture("walk-cast")
	dev.Do(fill("#rate", "20"), click(`form[action$="/rate"] button`), sees(`location.search.includes("saved") && document.getElementById("rate")?.value === "20"`),
		agree(), press(`form[action$="/cancel"] button`), sees(`!document.querySelector('form[action$="/cancel"]')`))
	if b := get[tidings.Broadcast](root(t), self); b.State != tidings.BroadcastCanceled || b.Rate != 20 || b.CreatedBy != "web-dev" {
		t.Errorf("it is %+v", b)
	}
	auditSays(t, "web-dev", "broadcast.pause", "broadcast.rate", "broadcast.cancel")

	dev.Do(visit("/console/broadcasts/new?application=web"), fill("#merchants", "web"), fill("#data", `{"order":"B-81"}`), click(`input[name="must_read"]`), agree(), click(`button[value="send"]`),
		sees(`!!`+live), sees(`document.querySelector("#progress progress").value === 100`))
	id = get[list[tidings.Broadcast]](root(t), "/v1/broadcasts?application=web").Data[0].ID
	as(t, token).must(200, "POST", "/v1/inbox/read", object{"ids": []string{id.String()}})
	dev.Do(press(`a[href$="/reads"]`), sees(`location.pathname.endsWith("/reads")`), reads("100.0 %"), click("tbody a"), sees(`location.search.startsWith("?region=")`), click("tbody a"), sees(`location.search.includes("merchant=")`), click("tbody a"), sees(`location.search.includes("store=")`), reads("web-lin"))
	dev.Picture("walk-cast-reads")
	dev.Do(chromedp.EmulateViewport(375, 812, chromedp.EmulateMobile), chromedp.Reload(), reads("web-lin"))
	dev.Picture("walk-cast-reads-phone")
	dev.Do(visit("/console/broadcasts/"+id.String()), reads("100.0 %"))
	dev.Picture("walk-cast-phone")
	dev.Do(chromedp.EmulateViewport(1280, 812))
}

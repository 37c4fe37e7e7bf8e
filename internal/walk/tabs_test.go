package walk

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/internal/fleet"
	"tidings/internal/proctest"
)

// connections is how many connections the process holds, by its own count.
func connections(t *testing.T) (n int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, up.Admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // read
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), " "); strings.HasPrefix(name, "tidings_comet_connections{") {
			held, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += int(held)
		}
	}
	return n
}

func TestTheTabsOfABrowserMissNothingWhenTheServerIsKilledAndWhenOneOfThemIsClosed(t *testing.T) {
	ctx := t.Context()
	admin := fleet.NewClient(up.URL, fleet.AdminToken, 2)
	app, err := admin.Application(ctx, "tabs")
	if err == nil {
		err = app.Type(ctx, "tabs.note", "normal", nil, "web")
	}
	if err == nil {
		err = app.Users(ctx, "tabs", "tabs-", 1, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	token, err := app.Token(ctx, "tabs-0")
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, "net::ERR_", "503") // the browser tells of a server that is not there
	other := window{first.Tab()}
	tabs := []window{first, other}
	before := connections(t)
	for _, w := range tabs {
		w.Do(visit("/inbox?lang=en#token="+token), sees(`document.getElementById("state").dataset.state === "open"`))
	}
	total := 0
	send := func(n int) {
		t.Helper()
		for range n {
			total++
			body := object{"type": "tabs.note", "audience": object{"users": []string{"tabs-0"}}, "data": object{"text": fmt.Sprint("note ", total)}}
			if _, err := app.Do(ctx, "POST", "/v1/messages", body, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(w window) {
		t.Helper()
		w.Do(sees(fmt.Sprintf(`document.querySelectorAll("#list li").length === %d`, total)),
			sees(fmt.Sprintf(`new Set([...document.querySelectorAll("#list li p:first-of-type")].map((p) => p.textContent)).size === %d`, total)))
	}
	send(3)
	for _, w := range tabs {
		all(w)
	}
	holdOne(t, before)
	if err := up.KillAndRestart(); err != nil {
		t.Fatal(err)
	}
	send(3)
	for _, w := range tabs {
		all(w)
	}
	holdOne(t, 0)
	other.Close() // one of the two tabs led; whichever it was, the first hears the rest
	send(3)
	all(first)
}

// holdOne waits until the two tabs hold one connection together, beside those before.
func holdOne(t *testing.T, before int) {
	t.Helper()
	err := proctest.Until(time.Minute, func() error {
		if n := connections(t) - before; n != 1 {
			return fmt.Errorf("two tabs hold %d connections", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

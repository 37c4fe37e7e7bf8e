package kanneltest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/internal/kanneltest"
)

func send(t *testing.T, k *kanneltest.Kannel, to, coding, text string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.SendURL, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "text/plain; charset=UTF-8", "X-Kannel-Username": k.User,
		"X-Kannel-Password": k.Password, "X-Kannel-To": to, "X-Kannel-Coding": coding} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s %v", response.StatusCode, body, err)
	}
	return string(body)
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatal("never " + what)
		case <-ticker.C:
		}
	}
}

func TestARealKannelCarriesAMessageAndComesBackAfterKills(t *testing.T) {
	k := kanneltest.Start(t, kanneltest.Options{})
	send(t, k, "8613800138000", "2", "订单已发货")
	waitFor(t, "at the operator", func() bool { return arrived(t, k, "订单已发货") })
	k.KillBearerbox()
	waitFor(t, "down", func() bool {
		_, err := http.Get(k.SendURL)
		return err != nil
	})
	if err := k.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(t, k, "8613800138001", "0", "after the kill")
	waitFor(t, "at the operator", func() bool { return arrived(t, k, "after the kill") })
}

// arrived tells whether the operator has the text. He may have one twice: a bearerbox that is killed before it has noted
// the operator's answer sends again from its spool.
func arrived(t *testing.T, k *kanneltest.Kannel, text string) (found bool) {
	t.Helper()
	for _, r := range k.Operator.Records() {
		if r.Undecodable {
			t.Fatalf("undecodable: %+v", r)
		}
		found = found || r.Text == text
	}
	return found
}

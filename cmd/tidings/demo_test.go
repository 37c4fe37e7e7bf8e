package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheFirstMessageOfTheDemoIsSeenByBothSimulators(t *testing.T) {
	u := startDemoUp(t, nil)
	body := strings.Replace(u.env["TIDINGS_EXAMPLE"], `,"channels":["web"]`, "", 1)
	r, err := http.NewRequest(http.MethodPost, u.url+"/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+u.env["TIDINGS_KEY"])
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only the status is of interest
	if answer.StatusCode != http.StatusAccepted {
		t.Fatal(answer.Status)
	}
	u.out.wait(t, `\[gateway\] SMS to (\S+): `)
	u.out.wait(t, `\[baidu\] push to (\d+) devices: `)
}

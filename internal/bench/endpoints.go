package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"tidings"
	"tidings/internal/fleet"
)

// toldRow is what batch POSTs cost while somebody is told what becomes of deliveries, or nobody.
type toldRow struct {
	Endpoint string `json:"endpoint"` // whose
	Load     load   `json:"load"`
	Told     int64  `json:"told"` // webhooks that came during the loads
}

// toldLoads measures what status webhooks cost the road: without an endpoint, with one of another application, and with one of its own that asks
// for every event. They take turns, because the machine's speed changes within a run.
func toldLoads(ctx context.Context, span time.Duration, out string) error {
	var told atomic.Int64
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		told.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	rows := []toldRow{{Endpoint: "none"}, {Endpoint: "another application's"}, {Endpoint: "its own"}}
	err := onSite(ctx, func(s *site) error {
		admin := fleet.NewClient(s.api.URL, fleet.AdminToken, 4)
		if _, err := admin.Application(ctx, "other"); err != nil {
			return err
		}
		of := map[string]string{"another application's": "other", "its own": application}
		for turn := range turns {
			for i := range rows {
				say("turn %d of %d: batch POSTs of %d by %d callers, %s, endpoint: %s", turn+1, turns, batchSize, batchers, span, rows[i].Endpoint)
				before := told.Load()
				l, err := s.toldLoad(ctx, admin, of[rows[i].Endpoint], sink.URL, span)
				if err != nil {
					return err
				}
				rows[i].Load.add(l)
				rows[i].Told += told.Load() - before
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ENDPOINT\tMESSAGES\tPER SECOND\tSERVER CPU\tCPU BY PROCESS (us/message)\tTOLD MEANWHILE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f us\t%s\t%d\n", r.Endpoint, r.Load.Messages, r.Load.PerSecond, r.Load.CPUMicros, byProcess(r.Load.CPU, "%.0f"), r.Told)
	}
	_ = w.Flush() // to a terminal or a pipe: nothing is left to do if it is gone
	return write(out, rows)
}

// toldLoad makes a load while an application has an endpoint; "": while none has.
func (s *site) toldLoad(ctx context.Context, admin *fleet.Client, whose, url string, span time.Duration) (l load, err error) {
	if whose == "" {
		return s.load(ctx, span, batchers, batchSize)
	}
	path := "/v1/applications/" + whose + "/endpoints"
	var e struct{ ID string }
	if _, err := admin.Do(ctx, "POST", path, map[string]any{"url": url, "events": tidings.EventTypes}, &e); err != nil {
		return l, err
	}
	if l, err = s.load(ctx, span, batchers, batchSize); err != nil {
		return l, err
	}
	_, err = admin.Do(ctx, "DELETE", path+"/"+e.ID, nil, nil)
	return l, err
}

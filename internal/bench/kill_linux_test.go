package main

import (
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be the crowd that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "crowd" {
		main()
		return
	}
	os.Exit(m.Run())
}

// What 'bench comet -kill' does with 20,000 connections, small.
func TestAFleetThatLosesANodeLosesAndDoublesNothingAndAsksSQLAlmostNothing(t *testing.T) {
	k := killing{n: 300, rate: 400, heartbeat: "25s", calm: 2 * time.Second, span: 4 * time.Second, back: 2 * time.Second}
	r, err := k.run(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.ended < k.n/10 || r.sent < 1000 {
		t.Errorf("too little happened: %+v", r)
	}
	if err := r.judge(); err != nil {
		t.Error(err)
	}
}

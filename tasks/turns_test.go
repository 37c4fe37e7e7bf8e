package tasks

import (
	"testing"
	"testing/synctest"

	"tidings"
)

func TestLaterStagesGoFirstAndASecondRunOnlyWithAFullLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := turns{most: runsOf(tidings.Normal)}
		var went []string
		full := map[string]bool{}
		ask := func(name string, s tidings.StageName) {
			go func() {
				ts.take(s, func() bool { return full[name] })
				went = append(went, name)
			}()
			synctest.Wait()
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if len(went) != len(want) {
				t.Fatalf("went %v, want %v", went, want)
			}
			for i := range want {
				if went[i] != want[i] {
					t.Fatalf("went %v, want %v", went, want)
				}
			}
		}
		ask("first", tidings.Acquire)
		ask("acquire", tidings.Acquire)
		ask("route", tidings.Route)
		ask("render", tidings.Render)
		expect("first") // one at a time: what waits is little
		full["render"] = true
		ts.grown()
		expect("first", "render")
		full["acquire"] = true
		ts.grown()
		expect("first", "render") // two are enough
		ts.give()
		expect("first", "render", "acquire") // one of the two runs still: only a full load goes beside it
		ts.give()
		ts.give()
		expect("first", "render", "acquire", "route")
		ask("last", tidings.Deliver)
		ts.give()
		expect("first", "render", "acquire", "route", "last")
	})
}

package tidings_test

import (
	"errors"
	"testing"
	"time"

	"tidings"
)

func TestWhatIsKnownIsReadAnewAfterItsAgeAndWhenItIsForgotten(t *testing.T) {
	c, now, reads := tidings.NewCache[string, int](time.Second, 2), time.Now(), 0
	get := func(at time.Time, key string) int {
		t.Helper()
		v, err := c.Get(at, key, func(before int) (int, error) { reads++; return before + 1, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, step := range []struct {
		after       time.Duration
		key         string
		want, reads int
	}{{0, "a", 1, 1}, {time.Second - 1, "a", 1, 1}, {time.Second, "a", 2, 2}, {time.Second, "b", 1, 3}, {time.Second, "a", 2, 3}, {time.Second, "c", 1, 4}, {time.Second, "a", 1, 5}} {
		if v := get(now.Add(step.after), step.key); v != step.want || reads != step.reads {
			t.Errorf("%+v: %d after %d reads", step, v, reads)
		}
	}
	c.Forget("a")
	if get(now.Add(time.Second), "a"); reads != 6 {
		t.Error("what was forgotten is still known")
	}
	// What was read before a change, and comes after it, is not kept.
	_, err := c.Get(now, "d", func(int) (int, error) { c.Forget("d"); return 7, nil })
	if v := get(now, "d"); err != nil || v != 1 {
		t.Errorf("%d is older than the change, %v", v, err)
	}
	broken := errors.New("broken")
	if _, err := c.Get(now, "e", func(int) (int, error) { return 1, broken }); err != broken || get(now, "e") != 1 {
		t.Error("an error is kept")
	}
}

package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidings"
	"tidings/internal/redistest"
	"tidings/tasks"
)

// runs notes which segments ran together. The first run waits until it is let go, so that others gather behind it.
type runs struct {
	mu     sync.Mutex
	of     [][]tidings.Segment
	begun  chan struct{}
	letGo  chan struct{}
	answer func([]tidings.Segment) ([]tidings.Segment, error)
}

func newRuns(answer func([]tidings.Segment) ([]tidings.Segment, error)) *runs {
	return &runs{begun: make(chan struct{}), letGo: make(chan struct{}), answer: answer}
}

func (r *runs) run(_ context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
	r.mu.Lock()
	r.of = append(r.of, slices.Clone(ss))
	first := len(r.of) == 1
	r.mu.Unlock()
	if first {
		close(r.begun)
		<-r.letGo
	}
	return r.answer(ss)
}

func (r *runs) all() [][]tidings.Segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.of)
}

// active waits until asynq has handed n tasks to the stage: those of them that do not run have gathered.
func (r *relayed) active(n int) {
	r.t.Helper()
	until(r.t, fmt.Sprint(n, " active tasks"), func() bool {
		info, err := r.inspector.GetQueueInfo(queue)
		return err == nil && info.Active == n && info.Pending == 0
	})
}

// gone waits until the tasks of segments have ended.
func (r *relayed) gone(ss ...tidings.Segment) {
	r.t.Helper()
	for _, s := range ss {
		until(r.t, "the end of task "+s.TaskID(), func() bool { return r.state(s) == "none" })
	}
}

func none([]tidings.Segment) ([]tidings.Segment, error) { return nil, nil }

func TestTasksGatherWhileARunIsUnderWayAndNeverMixApplications(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	all := newRuns(none)
	r.serve(tasks.Grouped(all.run))
	ss := segment(9)
	for i := range ss {
		ss[i].Size = 10
		if i%2 == 1 {
			ss[i].Application = "payments"
		}
	}
	r.Put(ss[:1])
	within(t, "the first run", all.begun)
	r.Put(ss[1:])
	r.active(9)
	close(all.letGo)
	r.gone(ss...)
	got := all.all()
	if len(got) > 5 { // one alone, then one for each application unless a task joined late
		t.Errorf("%d runs for 9 tasks", len(got))
	}
	n := 0
	for _, ran := range got {
		n += len(ran)
		for _, s := range ran {
			if s.Application != ran[0].Application {
				t.Errorf("%s and %s in one run", s.Application, ran[0].Application)
			}
		}
	}
	if n != 9 {
		t.Errorf("%d segments ran, want each of 9 once", n)
	}
}

func TestARunTakesNoMoreThanOneStepOfWork(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	all := newRuns(none)
	r.serve(tasks.Grouped(all.run))
	ss := segment(6)
	for i := range ss {
		ss[i].Size = tidings.SegmentSize
	}
	r.Put(ss[:1])
	within(t, "the first run", all.begun)
	r.Put(ss[1:])
	r.active(6)
	if n := len(all.all()); n != 1 {
		t.Errorf("%d runs at once", n)
	}
	close(all.letGo)
	r.gone(ss...)
	for _, ran := range all.all() {
		if len(ran) > 4 {
			t.Errorf("%d full segments in one run", len(ran))
		}
	}
}

func TestASmallSegmentDoesNotOvertakeALargeOneOfItsApplication(t *testing.T) {
	ss := segment(8)
	for i, size := range []int{500, 500, 500, 400, 500, 10, 500, 10} {
		ss[i].Size = size
	}
	ss[6].Application = "another"
	var ran []string
	for _, run := range tasks.Runs(ss...) {
		var parts []string
		for _, s := range run {
			parts = append(parts, fmt.Sprint(s.Part))
		}
		ran = append(ran, strings.Join(parts, " "))
	}
	if want := []string{"0 1 2 3", "4 5 7", "6"}; !slices.Equal(ran, want) {
		t.Errorf("%q, want %q", ran, want)
	}
}

func TestABroadcastHasASecondRunBesideTheFirst(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	all := newRuns(none)
	r.serve(tasks.Grouped(all.run))
	ss := segment(4)
	for i := range ss {
		ss[i].Broadcast, ss[i].Size = 9, 1 // a page of an audience each
	}
	ss[3].Broadcast, ss[3].Size = 0, tidings.SegmentSize
	r.Put(ss[:1])
	within(t, "the first run", all.begun)
	r.Put(ss[1:])
	r.gone(ss[1:]...)
	close(all.letGo)
	r.gone(ss...)
}

func TestASegmentThatFailsInACrowdFailsAlone(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	ss := segment(6)
	poisoned, stale, next := ss[2], ss[3], func(s tidings.Segment) tidings.Segment {
		return tidings.Segment{ID: s.ID + 100, Parent: s.ID, Batch: 7, Lane: tidings.Normal, Application: "orders", Stage: tidings.Render}
	}
	all := newRuns(func(ss []tidings.Segment) (following []tidings.Segment, _ error) {
		for _, s := range ss {
			switch s {
			case poisoned:
				panic("a poisoned segment")
			case stale:
				return nil, tidings.ErrStale
			}
			following = append(following, next(s))
		}
		return following, nil
	})
	r.serve(tasks.Grouped(all.run))
	r.Put(ss[:1])
	within(t, "the first run", all.begun)
	r.Put(ss[1:])
	r.active(6)
	close(all.letGo)
	well := []tidings.Segment{ss[0], ss[1], ss[4], ss[5]}
	r.gone(well...)
	r.gone(stale)
	until(t, "the poisoned task in the retry set", func() bool { return r.state(poisoned) == "retry" })
	for _, s := range well {
		r.want("pending", next(s))
	}
	r.want("none", next(poisoned), next(stale))
	if said := r.log.String(); !strings.Contains(said, "a poisoned segment") || strings.Contains(said, ss[1].TaskID()) {
		t.Errorf("the log has %q", said)
	}
}

func TestAStageOfOneSegmentRunsThemSideBySide(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	begun, letGo := make(chan tidings.Segment, 10), make(chan struct{})
	r.work(func(_ context.Context, s tidings.Segment) ([]tidings.Segment, error) {
		begun <- s
		<-letGo
		return nil, nil
	})
	ss := segment(3)
	r.Put(ss)
	for range ss {
		within(t, "a run beside the others", begun)
	}
	close(letGo)
	r.gone(ss...)
}

func TestAStageOfOneSegmentTellsEveryFailure(t *testing.T) {
	ss, bad := segment(3), errors.New("bad")
	next, err := tasks.Each(func(_ context.Context, s tidings.Segment) ([]tidings.Segment, error) {
		if s == ss[1] {
			return nil, bad
		}
		return []tidings.Segment{s}, nil
	}).Run(context.Background(), ss...)
	if !errors.Is(err, bad) || !slices.Equal(next, []tidings.Segment{ss[0], ss[2]}) {
		t.Errorf("%v, %v", next, err)
	}
}

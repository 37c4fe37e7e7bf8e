package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidings/client"
	"tidings/internal/proctest"
)

// from reads the user's cursor at this moment.
func from(t *testing.T, s *client.Subscription) {
	t.Helper()
	var frame struct{ Cursor string }
	token, err := s.Token(t.Context())
	if err == nil {
		caller := *up.app
		caller.Key = token
		_, err = caller.Do(t.Context(), "GET", "/comet/poll?client=cursor", nil, &frame)
	}
	if err != nil || frame.Cursor == "" {
		t.Fatalf("no cursor: %v", err)
	}
	s.Cursor = frame.Cursor
}

var errEnough = errors.New("enough")

func TestWhatIsPublishedArrivesOnceAndInOrderWhileTheServerIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s := listener("u0")
	from(t, s)
	var got []string
	var numbers []int64
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx, func(_ context.Context, e client.Event) error {
			if e.Message == nil {
				return fmt.Errorf("%+v", e)
			}
			got, numbers = append(got, e.Message.Body), append(numbers, e.Message.Number)
			if len(got) == 50 {
				return errEnough
			}
			return nil
		})
	}()
	var want []string
	var last string
	for i := range 30 {
		if i == 10 || i == 20 {
			if err := up.KillAndRestart(); err != nil {
				t.Fatal(err)
			}
		}
		text := fmt.Sprint("single ", i)
		a, err := shop().PublishKey(ctx, text, note("u0", text))
		if err != nil || a.ID == "" || a.Status != "accepted" {
			t.Fatalf("%+v %v", a, err)
		}
		again, err := shop().PublishKey(ctx, text, note("u0", text)) // as after a crash of ours
		if err != nil || again.ID != a.ID || !again.Replayed {
			t.Fatalf("%+v, then %+v %v", a, again, err)
		}
		want = append(want, text)
	}
	var batch []client.Message
	for i := range 20 {
		want = append(want, fmt.Sprint("batch ", i))
		batch = append(batch, note("u0", want[len(want)-1]))
	}
	results, err := shop().PublishBatch(ctx, "", batch)
	if err != nil || len(results) != 20 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		if last = r.ID; r.Status != "accepted" || r.Problem != nil || last == "" {
			t.Errorf("%+v", r)
		}
	}
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Fatalf("%v after %d", err, len(got))
	}
	for i, n := range numbers {
		if n != int64(i+1) {
			t.Fatalf("place %d holds number %d of %v", i, n, numbers)
		}
	}
	// Two messages that are on their way at once may be numbered in either order.
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	// The 50th was not handled: it comes again, and then all is acknowledged.
	again := 0
	err = s.Run(ctx, func(_ context.Context, e client.Event) error {
		again++
		if e.Message == nil || e.Message.Number != 50 {
			return fmt.Errorf("%+v", e)
		}
		go func() {
			defer cancel()
			if err := acknowledged(t, e.Message.ID); err != nil {
				t.Error(err)
			}
		}()
		return nil
	})
	if again != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d again, %v", again, err)
	}
}

// acknowledged waits until the message's delivery has its receipt.
func acknowledged(t *testing.T, id string) error {
	return proctest.Until(time.Minute, func() error {
		var page struct{ Data []struct{ State string } }
		if _, err := up.app.Do(context.WithoutCancel(t.Context()), "GET", "/v1/messages/"+id+"/deliveries", nil, &page); err != nil {
			return err
		}
		if len(page.Data) != 1 || page.Data[0].State != "delivered" {
			return fmt.Errorf("%+v", page.Data)
		}
		return nil
	})
}

func TestARefusalNamesTheField(t *testing.T) {
	_, err := shop().Publish(t.Context(), client.Message{Type: "nothing.known", Audience: client.Audience{Users: []string{"u0"}}})
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.Status != 422 && p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Field != "type" || p.RequestID == "" {
		t.Errorf("%+v %v", p, err)
	}
	results, err := shop().PublishBatch(t.Context(), "", []client.Message{note("u1", "good"), {Type: "nothing.known"}})
	if err != nil || len(results) != 2 || results[0].Status != "accepted" || results[1].Status != "refused" || results[1].Problem == nil || len(results[1].Problem.Errors) == 0 {
		t.Errorf("%+v %v", results, err)
	}
	wrong := &client.Client{URL: up.URL, Key: "tdk_wrong"}
	if _, err := wrong.Publish(t.Context(), note("u1", "x")); !hasStatus(err, 401) {
		t.Error(err)
	}
}

func hasStatus(err error, status int) bool {
	p, ok := errors.AsType[*client.Problem](err)
	return ok && p.Status == status
}

func TestACursorOfAnotherListIsAReset(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := listener("u2")
	s.Cursor = "elsewhere.7"
	err := s.Run(ctx, func(_ context.Context, e client.Event) error {
		if !e.Reset || e.Message != nil {
			t.Errorf("%+v", e)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) || s.Cursor != "elsewhere.7" {
		t.Errorf("%v at %s: a reset that was not handled comes again", err, s.Cursor)
	}
}

func TestASecondSubscriberOfTheSameNameTakesOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	first, second := listener("u3"), listener("u3")
	first.Name, second.Name = "worker", "worker"
	from(t, first)
	second.Cursor = first.Cursor
	heard, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- first.Run(ctx, func(context.Context, client.Event) error { close(heard); return nil })
	}()
	if _, err := shop().Publish(ctx, note("u3", "to the first")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-heard:
	case err := <-ended:
		t.Fatal(err)
	}
	go func() { _ = second.Run(ctx, func(context.Context, client.Event) error { return nil }) }()
	if c, ok := errors.AsType[*client.Closed](<-ended); !ok || c.Code != 3500 {
		t.Errorf("%+v", c)
	}
}

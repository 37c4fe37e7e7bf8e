package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"tidings/client"
)

func ExampleClient_Publish() {
	c := &client.Client{URL: os.Getenv("TIDINGS_URL"), Key: os.Getenv("TIDINGS_KEY")}
	accepted, err := c.Publish(context.Background(), client.Message{
		Type:     "order.paid",
		Audience: client.Audience{Users: []string{"u7"}},
		Data:     map[string]any{"text": "Order A-1001 was paid"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(accepted.Status)
	// Output: accepted
}

func ExampleProblem() {
	c := &client.Client{URL: os.Getenv("TIDINGS_URL"), Key: os.Getenv("TIDINGS_KEY")}
	_, err := c.Publish(context.Background(), client.Message{
		Type:     "order.paid",
		Audience: client.Audience{Users: []string{"u7"}},
		Data:     map[string]any{"txt": "misspelt"},
	})
	if p, ok := errors.AsType[*client.Problem](err); ok {
		for _, f := range p.Errors {
			fmt.Println(p.Status, f.Field, f.Code)
		}
	}
	// Output:
	// 422 data.text missing
	// 422 data.txt unknown
}

func ExampleSubscription() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := &client.Client{URL: os.Getenv("TIDINGS_URL"), Key: os.Getenv("TIDINGS_KEY")}
	s := &client.Subscription{
		URL:    os.Getenv("TIDINGS_URL"),
		Token:  func(ctx context.Context) (string, error) { return c.UserToken(ctx, "u8") },
		Cursor: "none.0", // another list's: a reset says where this one begins
	}
	done := errors.New("done")
	err := s.Run(ctx, func(ctx context.Context, e client.Event) error {
		switch {
		case e.Reset:
			fmt.Println("read the inbox anew")
			_, err := c.Publish(ctx, client.Message{Type: "order.paid", Audience: client.Audience{Users: []string{"u8"}}, Data: map[string]any{"text": "Paid"}})
			return err
		case e.Message != nil:
			fmt.Println(e.Message.Number, e.Message.Body)
			return done
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// read the inbox anew
	// 1 Paid
	// done
}

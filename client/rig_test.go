package client_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidings/client"
	"tidings/internal/fleet"
)

// up is a whole Tidings that the tests share: one process with SQLite and Redis, an application and some users.
var up struct {
	*fleet.Process
	admin, app *fleet.Client
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidings-client-")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // of the temporary directory
		err = start(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer up.Stop() //nolint:errcheck // it dies with us in any case
	return m.Run()
}

func start(dir string) error {
	binary, err := fleet.Build(dir)
	if err != nil {
		return err
	}
	database := filepath.Join(dir, "data", "tidings.db")
	if err := os.MkdirAll(filepath.Dir(database), 0o700); err != nil {
		return err
	}
	if up.Process, err = fleet.New(dir, binary, "sqlite:"+database, "").Start("up", "up"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	up.admin = fleet.NewClient(up.URL, fleet.AdminToken, 4)
	if up.app, err = up.admin.Application(ctx, "shop"); err != nil {
		return err
	}
	if err := up.app.Type(ctx, "order.paid", "normal", nil, "web"); err != nil {
		return err
	}
	for name, value := range map[string]string{"TIDINGS_URL": up.URL, "TIDINGS_KEY": up.app.Key} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return up.app.Users(ctx, "acme", "u", 9, false)
}

// shop is the application's client.
func shop() *client.Client { return &client.Client{URL: up.URL, Key: up.app.Key} }

// listener is a subscription of one user's.
func listener(user string) *client.Subscription {
	return &client.Subscription{URL: up.URL, AckEvery: 20 * time.Millisecond, Backoff: 20 * time.Millisecond,
		Token: func(ctx context.Context) (string, error) { return shop().UserToken(ctx, user) }}
}

func note(user, text string) client.Message {
	return client.Message{Type: "order.paid", Audience: client.Audience{Users: []string{user}}, Data: map[string]string{"text": text}}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidings/auth"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
	"tidings/internal/sqltest"
)

const processesSecret = "a secret of the tests, 32 characters"

// cometFleet is 'tidings comet --processes' over stores of its own.
type cometFleet struct {
	out    *output
	url    string
	tokens *auth.Tokens
}

func startCometFleet(t *testing.T, n int) *cometFleet {
	t.Helper()
	database := sqltest.Postgres(t)
	_ = sqltest.Open(t, database).Close() // migrates
	t.Setenv("TIDINGS_DATABASE_URL", database)
	t.Setenv("TIDINGS_REDIS_URL", "unix://"+redistest.Start(t).Client.Options().Addr)
	t.Setenv("TIDINGS_SECRET", processesSecret)
	f := &cometFleet{out: newOutput(), tokens: auth.NewTokens([]byte(processesSecret))}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	args := []string{"comet", "--processes", strconv.Itoa(n), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--node", "n"}
	go func() { ended <- run(ctx, args, os.Getenv, f.out, f.out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(f.out)
		}
	})
	f.url = "http://" + f.out.wait(t, `comet open" address=(\S+)`)
	f.ready(t, n)
	return f
}

// ready waits until so many children have become ready so far.
func (f *cometFleet) ready(t *testing.T, n int) (pids []int) {
	t.Helper()
	re := regexp.MustCompile(`comet process ready" process=\d+ pid=(\d+)`)
	err := proctest.Until(time.Minute, func() error {
		pids = nil
		for _, m := range re.FindAllStringSubmatch(f.out.String(), -1) {
			pid, _ := strconv.Atoi(m[1])
			pids = append(pids, pid)
		}
		if len(pids) < n {
			return fmt.Errorf("%d of %d are ready: %s", len(pids), n, f.out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// connect opens a new connection and polls over it without waiting.
func (f *cometFleet) connect(ctx context.Context, token string, i int) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	r, err := http.NewRequestWithContext(ctx, "GET", f.url+"/comet/poll?wait=0s&client=c"+strconv.Itoa(i), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read whole
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%s: %s", answer.Status, text), err)
	}
	return nil
}

func (f *cometFleet) token(t *testing.T) string {
	t.Helper()
	token, _, err := f.tokens.Mint(auth.Claims{Application: "shop", User: "ann", Expires: time.Now().Add(50 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestCometProcessesAreReplacedWithoutARefusedConnection(t *testing.T) {
	f := startCometFleet(t, 2)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var made atomic.Int64
	var wg sync.WaitGroup
	token := f.token(t)
	for i := range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := f.connect(context.WithoutCancel(ctx), token, i); err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				made.Add(1)
			}
		})
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	f.out.wait(t, `comet processes replaced`)
	stop()
	wg.Wait()
	pids := f.ready(t, 4)
	for _, old := range pids[:2] {
		if err := syscall.Kill(old, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d still runs: %v", old, err)
		}
	}
	if made.Load() < 50 {
		t.Errorf("only %d connections were made meanwhile", made.Load())
	}
	t.Logf("%d connections", made.Load())
}

func TestACometProcessThatDiesIsStartedAgainAndItsConnectionsWait(t *testing.T) {
	f := startCometFleet(t, 2)
	token := f.token(t)
	old := f.ready(t, 2)
	if err := syscall.Kill(old[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.out.wait(t, `comet process ended`)
	for i := range 20 { // some of them to the socket whose process has died
		if err := f.connect(t.Context(), token, i); err != nil {
			t.Error(err)
		}
	}
	f.ready(t, 3)
}

func TestTheFirstOfTwoCometProcessesAnswersAtTheAdminDoor(t *testing.T) {
	f := startCometFleet(t, 2)
	for _, m := range regexp.MustCompile(`comet process started" process=\d+ pid=\d+ admin=(\S+)`).FindAllStringSubmatch(f.out.String(), -1) {
		c, err := net.Dial("tcp", m[1])
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		answer, err := http.Get("http://" + m[1] + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", m[1], answer.Status)
		}
	}
}

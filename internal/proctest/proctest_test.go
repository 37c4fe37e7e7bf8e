package proctest_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tidings/internal/proctest"
)

// As a child of the test below, the binary starts a server, prints its pid and waits to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PROCTEST_DIR"); dir != "" {
		p, err := proctest.Start(proctest.Spec{Command: []string{"sleep", "1000"}, Dir: dir, Remove: true})
		if err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(os.Getenv("PROCTEST_OUT"), "pid"), []byte(strconv.Itoa(p.PID())), 0o600); err != nil {
			panic(err)
		}
		select {}
	}
	os.Exit(m.Run())
}

func TestAServerEndsWhenTheTestsAreKilled(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "PROCTEST_DIR="+dir, "PROCTEST_OUT="+out)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	err := proctest.Until(10*time.Second, func() error {
		b, err := os.ReadFile(filepath.Join(out, "pid"))
		if err != nil {
			return err
		}
		pid, err = strconv.Atoi(string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child was killed and yet ended well")
	}
	err = proctest.Until(10*time.Second, func() error {
		if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return errors.New("the server still runs")
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			return errors.New("its directory is still there")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStopEndsTheServerAndKeepsADirectoryThatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	p, err := proctest.Start(proctest.Spec{Command: []string{"sh", "-c", "echo started; exec sleep 1000"}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = proctest.Until(5*time.Second, func() error {
		if p.Log() != "started\n" {
			return errors.New("log: " + p.Log())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the server still runs: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

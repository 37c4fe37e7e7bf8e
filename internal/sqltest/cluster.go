package sqltest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings/internal/proctest"
)

// startCluster makes a PostgreSQL cluster in a temporary directory, reachable by unix socket only, and starts it. It ends
// with the test binary. fsync is on, as in production: the store refuses to open otherwise, and the tests ought to wait
// where production waits.
func startCluster(settings ...string) (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "sqltest")
	if err != nil {
		return "", err
	}
	as, err := ordinaryUser(dir)
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	// --no-sync: the cluster's first files need not survive a crash of the machine.
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "tidings", "-A", "trust", "-E", "UTF8",
		"--locale", "C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	command := []string{filepath.Join(bin, "postgres"), "-D", data, "-k", dir}
	for _, s := range append([]string{"listen_addresses=", "max_connections=200", "shared_buffers=64MB", "autovacuum_naptime=10s"}, settings...) {
		command = append(command, "-c", s)
	}
	p, err := proctest.Start(proctest.Spec{
		Command: command,
		Dir:     dir, Remove: true, As: as,
		End: syscall.SIGQUIT, // "immediate shutdown": its processes end at once
	})
	if err != nil {
		return "", err
	}
	server := "postgres://tidings@/postgres?host=" + url.QueryEscape(dir)
	if err := proctest.Until(20*time.Second, func() error { return reachable(server) }); err != nil {
		return "", errors.Join(fmt.Errorf("postgres said: %s: %w", p.Log(), err), p.Stop())
	}
	return server, nil
}

func reachable(server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

// binaries is the folder of initdb and postgres: Debian keeps them off the PATH, one folder for each version.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("no initdb on the PATH nor in /usr/lib/postgresql/*/bin: install postgresql (Debian: apt-get install postgresql) or set TIDINGS_TEST_POSTGRES")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // another name sorts first
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// ordinaryUser gives dir to a user that PostgreSQL agrees to run as, for it refuses to run as root. Nil: as ourselves.
func ordinaryUser(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
	}
	return nil, errors.New("run by root, and there is no user postgres or nobody to run PostgreSQL as")
}

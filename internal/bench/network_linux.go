package main

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	ownNetworkMark = "TIDINGS_BENCH_NETWORK" // set: this process is in a network of its own already
	manyEnds       = 500_000                 // from so many ends of connections on the kernel's own table is too small
	mostSlots      = 16 << 20                // of the table (net/ipv4/tcp_ipv4.c)
)

// ownNetwork starts the program anew in a network namespace with a table for all the connections to come: the kernel makes one of 262,144
// slots on a machine of 24 GiB, and looks through eight sockets for each packet when it holds both ends of a million. Without the
// right, or on a kernel before 6.1, it says so and goes on.
func ownNetwork(n int) error {
	if os.Getenv(ownNetworkMark) != "" || 2*n < manyEnds {
		return nil
	}
	slots := min(1<<bits.Len(uint(2*n)), mostSlots) //nolint:gosec // positive
	if err := enterNetwork(slots); err != nil {
		say("the kernel's table of connections may not be grown here, which costs time: %v", err)
		return nil
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("a network of its own: %w", err)
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), ownNetworkMark+"=1")) //nolint:gosec // this program
}

// enterNetwork puts this thread, and so what it starts anew, into a new namespace whose table has so many slots.
func enterNetwork(slots int) error {
	const setting = "/proc/sys/net/ipv4/tcp_child_ehash_entries"
	before, err := os.ReadFile(setting)
	if err != nil {
		return err
	}
	if err := os.WriteFile(setting, fmt.Append(nil, slots), 0o644); err != nil {
		return err
	}
	runtime.LockOSThread()
	err = unix.Unshare(unix.CLONE_NEWNET)
	return errors.Join(err, os.WriteFile(setting, before, 0o644))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was sent
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

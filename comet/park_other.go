//go:build !linux

package comet

import (
	"errors"
	"log/slog"
	"net"
)

// parkable tells whether connections can be parked on this system: here each is served by its handler's goroutine.
const parkable = false

var errNoParking = errors.New("connections cannot be parked on this system")

type parking struct{}

func (*parking) wake(*conn) {}
func (*parking) drop(*conn) {}

type lot struct{}

func newLot(*slog.Logger) (*lot, error) { return &lot{}, nil }

func (*lot) park(*conn, net.Conn, []byte) error { return errNoParking }
func (*lot) wait()                              {}
func (*lot) stop()                              {}
func (*lot) close()                             {}

func (*conn) flush()               {}
func (*conn) writeNow([]byte) bool { return false }
func (*conn) listen()              {}
func (*conn) expire(int64) bool    { return false }

// descriptors is how many descriptors the process may have, cautiously.
func descriptors() int { return 1024 }

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidings/auth"
)

// A crowd is a process that holds the client ends of many streams: one epoll loop and 16 bytes of state for each connection,
// so that a million clients leave room for the server on the same machine. It checks that the numbers it hears follow one another.

// crowdSpec says what a crowd does.
type crowdSpec struct {
	Addresses []string `json:"addresses"` // of the servers; each connection goes to one of them at random
	Sources   []string `json:"sources"`   // the addresses it connects from, in turn
	First     int      `json:"first"`     // number of the first user
	Count     int      `json:"count"`
	Path      string   `json:"path"`   // "%d" is the user's number
	Secret    string   `json:"secret"` // signs the users' tokens; "": none are sent
	InFlight  int      `json:"in_flight"`
	Back      int      `json:"back_ms"` // a connection that ended comes back after up to so long; 0: never
	Nap       int      `json:"nap_us"`  // after each look: few crowds need none, 50 that look all the time fill two cores
}

// crowdStand is how a crowd fares. Its times are in ms.
type crowdStand struct {
	Open      int     `json:"open"`
	Received  int     `json:"received"`
	Lost      int     `json:"lost"`    // numbers passed over
	Doubled   int     `json:"doubled"` // numbers heard before
	Resets    int     `json:"resets"`
	Ended     int     `json:"ended"` // connections that ended
	Refused   int     `json:"refused"`
	Tried     int     `json:"tried"`     // clients that have begun to connect at least once
	Last      int64   `json:"last"`      // when the last message came, Unix ns
	LastOpen  int64   `json:"last_open"` // when the last connection was made
	Histogram []int32 `json:"histogram"` // of delays, in buckets of bucket
	Error     string  `json:"error"`
}

// connectingMost bounds the connections of a crowd that are made while their request is not sent: a server hangs up on one that has
// said nothing for 5 s, and on a busy machine a crowd that makes thousands first comes to their requests later than that.
const connectingMost = 64

// The delays are counted in buckets, 2 % apart, from 0.01 ms on.
const (
	buckets    = 1024
	bucketBase = 1.02
)

// member is one client.
type member struct {
	user  int32
	last  int32 // the number it heard last
	fd    int32 // -1: not connected
	state uint8
	begun bool // it has heard a cursor
}

// States of a client.
const (
	unconnected uint8 = iota // not connected, and not to be
	connecting               // connect(2) is under way
	asked                    // the request is sent, the head of the answer not yet there
	listening
	waiting // to come back
)

type crowd struct {
	crowdSpec
	crowdStand
	epoll      int
	members    []member
	at         map[int32]int32  // descriptor -> place in members; a slice would be as large as the highest descriptor
	rest       map[int32][]byte // descriptor -> the begin of a frame
	epoch      string
	inFlight   int
	connecting int    // of those in flight the ones whose request is not sent yet
	stopped    bool   // no client is to connect any more
	told       []byte // the begin of a command
	back       []comeback
	tokens     *auth.Tokens
	buffer     []byte
}

type comeback struct {
	at     time.Time
	member int32
}

// crowdChild is the process: it takes commands from its input, a word a line, and answers each with a line. It connects from
// "go" to "stop", "stat" asks how it fares, and "clear" has it count messages anew.
func crowdChild(args []string) error {
	flags := flag.NewFlagSet("crowd", flag.ContinueOnError)
	text := flags.String("spec", "", "what to do, as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	c := &crowd{stopped: true, at: map[int32]int32{}, rest: map[int32][]byte{}, buffer: make([]byte, 64<<10)}
	if err := json.Unmarshal([]byte(*text), &c.crowdSpec); err != nil {
		return err
	}
	c.Histogram = make([]int32, buckets)
	if c.Secret != "" {
		c.tokens = auth.NewTokens([]byte(c.Secret))
	}
	c.members = make([]member, c.Count)
	for i := range c.members {
		c.members[i] = member{user: int32(c.First + i), fd: -1} //nolint:gosec // small
	}
	var err error
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := unix.SetNonblock(commandsIn, true); err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: commandsIn}
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, commandsIn, &event); err != nil {
		return err
	}
	return c.run()
}

// nap and epollWait keep Go's only processor while they wait: this program has one goroutine. Given back and taken anew at each wait, it cost
// more than the reading.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0) // cut short, it is a shorter one
}

func epollWait(epoll int, events []unix.EpollEvent, ms int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0)
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

const commandsIn = 0 // the process's input

// run waits for connections and commands alike, and sleeps as long as there is nothing: fifty crowds that look about now and
// then take a good part of a core from the servers. After each look it naps, so that what comes within a few ms wakes it once.
func (c *crowd) run() error {
	events := make([]unix.EpollEvent, 512)
	for {
		for !c.stopped && c.Tried < len(c.members) && c.inFlight < c.InFlight && c.connecting < connectingMost {
			c.connect(int32(c.Tried)) //nolint:gosec // small
			c.Tried++
		}
		c.comeBack()
		wait := -1
		if len(c.back) > 0 {
			wait = 20
		}
		nap(time.Duration(c.Nap) * time.Microsecond)
		n, err := epollWait(c.epoll, events, wait)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if e.Fd == commandsIn {
				if over, err := c.commands(); over || err != nil {
					return err
				}
			} else if i, ok := c.at[e.Fd]; ok {
				c.event(i, e.Events)
			}
		}
	}
}

// commands does what it was told; it is over when the input is.
func (c *crowd) commands() (over bool, err error) {
	n, err := unix.Read(commandsIn, c.buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil || n == 0 {
		return true, err
	}
	c.told = append(c.told, c.buffer[:n]...)
	for {
		word, rest, ok := bytes.Cut(c.told, []byte("\n"))
		if !ok {
			return false, nil
		}
		c.command(string(word))
		c.told = rest
	}
}

func (c *crowd) command(word string) {
	switch word {
	case "go":
		c.stopped = false
	case "stop":
		c.stopped = true
	case "clear":
		c.Received, c.Lost, c.Doubled, c.Last, c.Histogram = 0, 0, 0, 0, make([]int32, buckets)
	}
	answer, _ := json.Marshal(c.crowdStand) // numbers
	fmt.Println(string(answer))
}

func (c *crowd) fail(err error) {
	if c.Error == "" {
		c.Error = err.Error()
	}
}

// connect begins a connection from one of the crowd's source addresses.
func (c *crowd) connect(i int32) {
	m := &c.members[i]
	address, err := net.ResolveTCPAddr("tcp4", c.Addresses[rand.IntN(len(c.Addresses))])
	if err != nil {
		c.fail(err)
		return
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.fail(fmt.Errorf("socket: %w", err))
		c.stopped = true
		return
	}
	// The port is chosen when the far side is known, so that each pair of addresses has all of them (ip(7)).
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	from := unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(c.Sources[int(i)%len(c.Sources)]).To4())}
	to := unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}
	if err = unix.Bind(fd, &from); err == nil {
		err = unix.Connect(fd, &to)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		c.fail(fmt.Errorf("connect: %w", err))
		_ = unix.Close(fd)
		c.later(i)
		return
	}
	m.fd, m.state = int32(fd), connecting //nolint:gosec // small
	c.at[m.fd] = i
	c.inFlight++
	c.connecting++
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET | unix.EPOLLRDHUP, Fd: m.fd}
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		c.fail(err)
		c.end(i)
	}
}

func (c *crowd) event(i int32, events uint32) {
	m := &c.members[i]
	if m.state == connecting {
		if code, err := unix.GetsockoptInt(int(m.fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			c.Refused++
			c.end(i)
			c.soon()
			return
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		c.ask(i)
		return
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.read(i)
	}
}

// ask sends the request: small enough for the empty buffer of a new socket.
func (c *crowd) ask(i int32) {
	m := &c.members[i]
	var b bytes.Buffer
	b.WriteString("GET " + strings.ReplaceAll(c.Path, "%d", strconv.Itoa(int(m.user))))
	if m.begun && c.epoch != "" {
		b.WriteString("&cursor=" + c.epoch + "." + strconv.Itoa(int(m.last)))
	}
	b.WriteString(" HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n")
	if c.tokens != nil {
		token, _, err := c.tokens.Mint(auth.Claims{Application: application, User: "u" + strconv.Itoa(int(m.user)), Expires: time.Now().Add(59 * time.Minute)})
		if err != nil {
			c.fail(err)
		}
		b.WriteString("Authorization: Bearer " + token + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err := unix.Write(int(m.fd), b.Bytes()); err != nil {
		c.unanswered(i, err)
		return
	}
	m.state = asked
	c.connecting--
}

// read reads all there is: the events are edge-triggered.
func (c *crowd) read(i int32) {
	m := &c.members[i]
	for m.fd >= 0 {
		n, err := unix.Read(int(m.fd), c.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR):
		case m.state == asked && (err != nil || n == 0):
			c.unanswered(i, cmp.Or(err, io.EOF))
			return
		case err != nil || n == 0:
			c.end(i)
			return
		default:
			c.heard(i, c.buffer[:n])
			if n < len(c.buffer) {
				return
			}
		}
	}
}

// heard takes bytes of the answer: whole frames, which end with an empty line, and a rest that waits for more.
func (c *crowd) heard(i int32, b []byte) {
	m := &c.members[i]
	fd := m.fd
	if rest := c.rest[fd]; rest != nil {
		b = append(rest, b...)
		delete(c.rest, fd)
	}
	if m.state == asked {
		head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		switch {
		case !ok:
			c.rest[fd] = bytes.Clone(b)
			return
		case !bytes.HasPrefix(head, []byte("HTTP/1.1 200")):
			c.Refused++
			c.fail(fmt.Errorf("answer: %.60q", head))
			c.end(i)
			return
		}
		b, m.state = body, listening
		c.inFlight--
		c.Open++
		c.LastOpen = time.Now().UnixNano()
	}
	for len(b) > 0 {
		frame, more, ok := bytes.Cut(b, []byte("\n\n"))
		if !ok {
			c.rest[fd] = bytes.Clone(b)
			return
		}
		c.frame(m, frame)
		b = more
	}
}

var (
	numberKey = []byte(`"number":`)
	stampKey  = []byte(`"title":"`)
	cursorKey = []byte(`"cursor":"`)
)

// frame looks at one frame: {"cursor":"e.5","messages":[{"number":5,...,"title":"<Unix ns when it was sent>"}]}.
func (c *crowd) frame(m *member, b []byte) {
	if bytes.Contains(b, []byte(`"reset":true`)) {
		c.Resets++
	}
	if !m.begun {
		m.begun = true
		if _, at, ok := bytes.Cut(b, cursorKey); ok && c.epoch == "" {
			epoch, _, _ := bytes.Cut(at, []byte("."))
			c.epoch = string(epoch)
		}
	}
	for {
		_, at, ok := bytes.Cut(b, numberKey)
		if !ok {
			return
		}
		number := int32(leading(at)) //nolint:gosec // small
		switch {
		case number <= m.last:
			c.Doubled++
		default:
			c.Lost += int(number - m.last - 1)
			m.last = number
			c.Received++
		}
		now := time.Now().UnixNano()
		c.Last = now
		if _, stamp, ok := bytes.Cut(at, stampKey); ok {
			if sent := leading(stamp); sent > 0 {
				c.Histogram[bucketOf(float64(now-sent)/1e6)]++
			}
		}
		b = at
	}
}

// leading is the number that b begins with.
func leading(b []byte) (n int64) {
	for _, d := range b {
		if d < '0' || d > '9' {
			return n
		}
		n = 10*n + int64(d-'0')
	}
	return n
}

// unanswered counts a client as refused whose connection ended before the answer's head came.
func (c *crowd) unanswered(i int32, err error) {
	c.Refused++
	c.fail(fmt.Errorf("no answer: %w", err))
	c.end(i)
}

// end is what follows when a connection is over.
func (c *crowd) end(i int32) {
	m := &c.members[i]
	if m.fd < 0 {
		return
	}
	delete(c.at, m.fd)
	delete(c.rest, m.fd)
	_ = unix.Close(int(m.fd))
	if m.state == listening {
		c.Open--
		c.Ended++
	} else {
		c.inFlight--
	}
	if m.state == connecting {
		c.connecting--
	}
	m.fd = -1
	c.later(i)
}

// later has the client come back, if that is asked for: after a random while, as a browser does.
func (c *crowd) later(i int32) {
	m := &c.members[i]
	m.state = unconnected
	if c.Back > 0 && !c.stopped {
		m.state = waiting
		c.back = append(c.back, comeback{time.Now().Add(time.Duration(rand.IntN(c.Back)) * time.Millisecond), i})
	}
}

// soon has the client that was put off last try another node within a second: as a balancer would that knows which one is down.
func (c *crowd) soon() {
	if n := len(c.back); n > 0 {
		c.back[n-1].at = time.Now().Add(time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
}

func (c *crowd) comeBack() {
	if len(c.back) == 0 {
		return
	}
	now, kept := time.Now(), c.back[:0]
	due := []int32(nil)
	for _, b := range c.back {
		if b.at.After(now) || c.inFlight+len(due) >= c.InFlight {
			kept = append(kept, b)
		} else {
			due = append(due, b.member)
		}
	}
	c.back = kept
	for _, i := range due {
		c.connect(i)
	}
}

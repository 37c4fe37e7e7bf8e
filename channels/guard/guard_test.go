package guard_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/guard"
	"tidings/channels/once"
)

// canary listens on every local address and counts who comes.
func canary(t *testing.T) (port string, seen *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	seen = new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			conn.Close()
		}
	}()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), seen
}

// Ways to write addresses that are ours: plain, in other bases, mapped into IPv6, translated, special.
var forbidden = []string{
	"127.0.0.1", "127.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "localhost",
	"LOCALHOST", "localhost.", "0.0.0.0", "0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.1",
	"169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.0.1", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1",
	"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
	"[::127.0.0.1]", "[fc00::1]", "[fd12:3456::1]", "[fe80::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
	"[2001:db8::1]", "[100::1]", "[fd00:ec2::254]", "①②⑦.⓪.⓪.①", "%31%32%37.0.0.1",
}

func TestNoWayOfWritingReachesUs(t *testing.T) {
	port, seen := canary(t)
	for _, port := range []string{port, "443"} {
		client := once.NewOver(guard.Dialer(nil))
		for _, host := range forbidden {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			_, err := client.Post(ctx, "http://"+host+":"+port+"/", http.Header{}, []byte("x"))
			cancel()
			e, ok := errors.AsType[*tidings.SendError](err)
			if !ok || e.Outcome != tidings.Busy {
				t.Errorf("%s: %v", host, err)
			}
			if _, literal := netip.ParseAddr(trim(host)); literal == nil && !errors.Is(err, guard.ErrForbidden) {
				t.Errorf("%s: %v, want it refused by its address", host, err)
			}
		}
		client.Close()
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func trim(host string) string {
	u := url.URL{Host: host}
	return u.Hostname()
}

func TestAPublicAddressMayBeCalledOnTheWebsPorts(t *testing.T) {
	control := guard.Dialer(nil).Control
	for address, want := range map[string]bool{
		"93.184.216.34:443": true, "93.184.216.34:8443": true, "[2606:2800:220:1:248:1893:25c8:1946]:443": true,
		"93.184.216.34:80": false, "93.184.216.34:6379": false, "93.184.216.34:22": false,
	} {
		network := "tcp4"
		if address[0] == '[' {
			network = "tcp6"
		}
		if err := control(network, address, nil); (err == nil) != want || err != nil && !errors.Is(err, guard.ErrForbidden) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestANetworkThatIsAllowedMayBeCalledAndNoOther(t *testing.T) {
	port, seen := canary(t)
	networks, err := guard.Networks("127.0.0.0/8, ::1")
	if err != nil {
		t.Fatal(err)
	}
	d := guard.Dialer(networks)
	conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Read(make([]byte, 1)) // until the canary has seen it
	conn.Close()
	if seen.Load() != 1 {
		t.Error("it was not called")
	}
	if _, err := d.DialContext(t.Context(), "tcp", "10.0.0.1:"+port); !errors.Is(err, guard.ErrForbidden) {
		t.Error(err)
	}
	for _, text := range []string{"10.0.0.0/33", "here", "10.0.0.0/8;::1"} {
		if _, err := guard.Networks(text); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}

// A name that is public when somebody looks at it and ours when it is called: the check is of the address that is called.
func TestANameThatChangesItsMindIsCaught(t *testing.T) {
	port, seen := canary(t)
	var asked atomic.Int64
	d := guard.Dialer(nil)
	d.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			answerA(far, asked.Add(1))
		}()
		return near, nil
	}}
	for range 3 { // a public answer first, then ours
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		conn, err := d.DialContext(ctx, "tcp4", "flips.example:"+port)
		cancel()
		if err == nil {
			conn.Close()
			t.Fatal("it was called")
		}
		if !errors.Is(err, guard.ErrForbidden) {
			t.Error(err)
		}
	}
	if asked.Load() < 3 || seen.Load() != 0 {
		t.Errorf("asked %d times, %d connections", asked.Load(), seen.Load())
	}
}

// answerA answers one DNS question over TCP framing: the first with a public address, each later one with 127.0.0.1.
func answerA(conn net.Conn, n int64) {
	var length [2]byte
	if _, err := conn.Read(length[:]); err != nil {
		return
	}
	question := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := conn.Read(question); err != nil {
		return
	}
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5
	ip := []byte{127, 0, 0, 1}
	if n == 1 {
		ip = []byte{93, 184, 216, 34}
	}
	answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, question[12:end]...)
	answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
	answer = append(answer, ip...)
	conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

package proctest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that a kernel hands out by itself begin above lastPort (ip_local_port_range): one below is not taken by the thousand listeners and
// connections of the packages that are tested beside, between our look and the server's bind, nor while a server is killed and started again.
const firstPort, lastPort = 20000, 32000

// Port is a TCP port of loopback that nobody listens on just now.
func Port() (port int, err error) {
	for range 100 {
		port = firstPort + rand.N(lastPort-firstPort)
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.Join(errors.New("no free port"), err)
}

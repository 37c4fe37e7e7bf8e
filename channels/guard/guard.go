// Package guard connects to hosts that users have named: their own systems, the push services of their browsers. Such a URL must
// not reach into our network, whatever its name resolves to and whenever it changes its mind, so that the address itself is
// checked, after the name was looked up and before a byte is written.
package guard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrForbidden is the cause of a connection that was not made because of where it would have gone.
var ErrForbidden = errors.New("this host may not be called")

// Networks reads networks that may be called besides public ones, as a driver's setting has them: "10.0.0.0/8, 192.168.7.4".
func Networks(text string) (ps []netip.Prefix, err error) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			a, err := netip.ParseAddr(part)
			if err != nil {
				return nil, errors.New("write networks as 10.0.0.0/8, with commas between them")
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		ps = append(ps, p.Masked())
	}
	return ps, nil
}

// Dialer connects to public addresses on the ports 443 and 8443, and to any port in the networks that are allowed beside them.
// Private, loopback, link-local, shared, multicast, mapped, translated and all other special addresses (IANA's registries, by
// code.dny.dev/ssrf) are refused with ErrForbidden.
func Dialer(allowed []netip.Prefix) *net.Dialer {
	public := ssrf.New(ssrf.WithPorts(443, 8443))
	return &net.Dialer{Control: func(network, address string, c syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err == nil {
			for _, p := range allowed {
				if p.Contains(at.Addr().Unmap()) {
					return nil
				}
			}
		}
		if err := public.Safe(network, address, c); err != nil {
			return fmt.Errorf("%w: %w", ErrForbidden, err)
		}
		return nil
	}}
}

package baidu

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strings"
)

// phpURLEncode is PHP's urlencode, byte for byte: letters, digits and "-_." stay, a space is "+", all else is a percent
// sign and two upper-case hex digits.
func phpURLEncode(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// signature is what a caller with the secret must have put into "sign": method, URL without query, every parameter but
// sign as name=value in order of the names, nothing between them, then the secret; the whole encoded once, then MD5.
func signature(method, address string, parameters url.Values, secret string) string {
	names := make([]string, 0, len(parameters))
	for name := range parameters {
		if name != "sign" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	text := method + address
	for _, name := range names {
		text += name + "=" + parameters.Get(name)
	}
	sum := md5.Sum([]byte(phpURLEncode(text + secret)))
	return hex.EncodeToString(sum[:])
}

// signed tells whether the request carries a signature made with secret, over the address as it was called or one of the
// service's own.
func (s *Simulator) signed(r *http.Request, parameters url.Values, secret string) bool {
	given := []byte(parameters.Get("sign"))
	for _, host := range append([]string{r.Host}, s.config.Hosts...) {
		for _, scheme := range []string{"http", "https"} {
			expected := signature(r.Method, scheme+"://"+host+r.URL.Path, parameters, secret)
			if subtle.ConstantTimeCompare(given, []byte(expected)) == 1 {
				return true
			}
		}
	}
	return false
}

package baidu

import (
	"crypto/md5"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// sign is the signature of a call (Baidu Push REST API 3.0, "signature algorithm"): lower-case hexadecimal MD5 of the
// URL-encoded METHOD + URL + name=value of each parameter in order of the names, with nothing between them, + secret.
func sign(method, address string, parameters url.Values, secret string) string {
	var b strings.Builder
	b.WriteString(method)
	b.WriteString(address)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		b.WriteString(name + "=" + parameters.Get(name))
	}
	b.WriteString(secret)
	// The service encodes as PHP's urlencode does, which escapes the tilde; QueryEscape does not, and a title with one
	// would be refused as a forgery.
	sum := md5.Sum([]byte(strings.ReplaceAll(url.QueryEscape(b.String()), "~", "%7E")))
	return hex.EncodeToString(sum[:])
}

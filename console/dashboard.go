package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"tidings/auth"
)

// dashboardRoot is where asynqmon is mounted.
const dashboardRoot = "/queues"

// dashboard is asynqmon for those who run the installation, and read-only for those who may look. Whoever is not signed in gets the sign-in page, with a
// 401, so that programs understand it too.
func (c *Console) dashboard(w http.ResponseWriter, r *http.Request) error {
	p, err := c.person(r)
	if err == nil {
		err = auth.May(p, auth.ReadInstallation, "")
	}
	if err != nil && wantsPage(r) {
		v := &visit{Console: c, w: w, r: r, me: p, lang: language(r)}
		return v.fail(err)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", c.csp)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "same-origin")
	if auth.May(p, auth.RunInstallation, "") == nil {
		c.full.ServeHTTP(w, r)
	} else {
		c.readOnly.ServeHTTP(w, r)
	}
	return nil
}

func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, dashboardRoot+"/api/") &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// dashboardPolicy allows asynqmon's page what it needs and no more: its two inline scripts by their hashes, and inline
// styles, which its toolkit writes while it runs. Its fonts from Google stay out: they would tell a third party who
// watches our queues.
func dashboardPolicy(h http.Handler) (string, error) {
	r, err := http.NewRequest(http.MethodGet, dashboardRoot+"/", nil)
	if err != nil {
		return "", err
	}
	var got buffered
	h.ServeHTTP(&got, r)
	hashes := ""
	for _, m := range inlineScript.FindAllSubmatch(got.Bytes(), -1) {
		sum := sha256.Sum256(m[1])
		hashes += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	if hashes == "" {
		return "", errors.New("console: asynqmon's page holds no inline script: has it changed?")
	}
	return "default-src 'none'; script-src 'self'" + hashes + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"font-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'", nil
}

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// buffered is an http.ResponseWriter that keeps the body.
type buffered struct {
	bytes.Buffer
	header http.Header
}

func (b *buffered) Header() http.Header {
	if b.header == nil {
		b.header = http.Header{}
	}
	return b.header
}

func (b *buffered) WriteHeader(int) {}

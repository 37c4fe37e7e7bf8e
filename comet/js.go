package comet

import (
	_ "embed"
	"net/http"

	"tidings/middleware"
)

// Modules are the browser's end by file name: the client, one ES module without dependencies, and the bell, which imports it.
var Modules = map[string][]byte{"tidings.js": client, "tidings-bell.js": bellJS}

var (
	//go:embed js/tidings.js
	client []byte
	//go:embed js/tidings-bell.js
	bellJS []byte
)

// serveModule answers with a part of the browser's end. It is public, and pages of every origin may load it as a module.
func serveModule(name string) middleware.Handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		_, err := w.Write(Modules[name])
		return err
	}
}

package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidings"
	"tidings/middleware"
)

func TestABodyAboveTheLimitIsRefusedWithOrWithoutItsLength(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{11, -1} {
		r := httptest.NewRequest("POST", "/", io.NopCloser(strings.NewReader(strings.Repeat("x", 11))))
		r.ContentLength = length
		if _, err := middleware.ReadBody(httptest.NewRecorder(), r, 10); tidings.CodeOf(err) != tidings.TooLarge {
			t.Errorf("length %d: %v", length, err)
		}
		r = httptest.NewRequest("POST", "/", io.NopCloser(strings.NewReader(strings.Repeat("x", 10))))
		r.ContentLength = min(length, 10)
		if b, err := middleware.ReadBody(httptest.NewRecorder(), r, 10); err != nil || len(b) != 10 {
			t.Errorf("length %d: %d bytes, %v", length, len(b), err)
		}
	}
}

func TestACompressedOrCutOffBodyIsTheCallersMistake(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/", strings.NewReader("x"))
	r.Header.Set("Content-Encoding", "gzip")
	if _, err := middleware.ReadBody(httptest.NewRecorder(), r, 10); tidings.CodeOf(err) != tidings.Invalid {
		t.Errorf("compressed: %v", err)
	}
	r = httptest.NewRequest("POST", "/", http.NoBody)
	r.ContentLength = 5
	if _, err := middleware.ReadBody(httptest.NewRecorder(), r, 10); tidings.CodeOf(err) != tidings.Invalid {
		t.Errorf("cut off: %v", err)
	}
}

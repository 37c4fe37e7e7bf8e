package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/api"
	"tidings/auth"
	"tidings/middleware"
	"tidings/platform"
)

// idle is a store whose commits cost nothing, so that the benchmark measures the handler alone.
type idle struct {
	persons
	records
	key tidings.Key
	ids *tidings.IDs
}

// Embedded under their own names, for both interfaces have a method Store.
type (
	records = api.Store
	setting = platform.Store
	persons = auth.People
)

// idleTypes knows one message type, under any name.
type idleTypes struct{ setting }

func (s *idle) Accept(_ context.Context, r tidings.Request) (tidings.Answer, error) {
	for i := range r.Messages {
		r.Messages[i].ID = s.ids.Next()
	}
	return tidings.Answer{Body: r.Respond(r.Messages)}, nil
}

func (s *idle) Key(context.Context, string) (tidings.Key, error) { return s.key, nil }

func (s *idle) Application(_ context.Context, id string) (tidings.Application, error) {
	return tidings.Application{ID: id, State: tidings.ApplicationActive}, nil
}

func (s *idle) Applications(context.Context) ([]tidings.Application, error) { return nil, nil }

func (idleTypes) Type(_ context.Context, application, name string) (tidings.MessageType, error) {
	return tidings.MessageType{Application: application, Name: name, Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web, tidings.App, tidings.SMS},
		Variables: []tidings.Variable{{Name: "order", Type: tidings.VariableString}, {Name: "amount", Type: tidings.VariableNumber}}}, nil
}

func (idleTypes) Quotas(context.Context) (map[string]tidings.Quota, error) { return nil, nil }

func benchmark(b *testing.B, path, body string, keyed bool) {
	k, written := auth.NewKey(tidings.ApplicationKey)
	k.Application, k.Scopes = "shop", []string{tidings.ScopeSend}
	s := &idle{key: k, ids: tidings.NewIDs(1, time.Now)}
	tokens := auth.NewTokens([]byte(master))
	h := api.New(api.Config{
		Store: s, Auth: auth.New(s, tokens, adminToken, time.Now), Tokens: tokens, Now: time.Now,
		Platform: platform.New(platform.Config{Store: idleTypes{}, Now: time.Now}), Door: middleware.NewDoor(middleware.Config{MaxInFlight: 100}),
	}).Handler()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		r := httptest.NewRequest(http.MethodPost, path, io.NopCloser(bytes.NewReader([]byte(body))))
		r.ContentLength = int64(len(body))
		r.Header["Authorization"] = []string{"Bearer " + written}
		if keyed {
			r.Header["Idempotency-Key"] = []string{fmt.Sprint(n)}
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusAccepted {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkAcceptOne(b *testing.B)      { benchmark(b, "/v1/messages", good, false) }
func BenchmarkAcceptOneKeyed(b *testing.B) { benchmark(b, "/v1/messages", good, true) }

func BenchmarkAcceptBatchOf500(b *testing.B) {
	benchmark(b, "/v1/messages/batch", `{"messages":[`+strings.Repeat(good+",", 499)+good+`]}`, false)
}

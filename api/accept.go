package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Messages is where messages are accepted and looked up.
type Messages interface {
	// Accept makes a request durable; see tidings.Request.
	Accept(ctx context.Context, r tidings.Request) (tidings.Answer, error)
	// Answered finds the stored answer of a request that was accepted under key: ok is false if there was none, and an
	// Unprocessable error tells that it had another hash.
	Answered(ctx context.Context, application, key, hash string) (answer tidings.Answer, ok bool, err error)
	Message(ctx context.Context, application string, id tidings.ID) (tidings.MessageStatus, error)
	Messages(ctx context.Context, q tidings.MessageQuery) (items []tidings.MessageStatus, more bool, err error)
	Deliveries(ctx context.Context, application string, id tidings.ID, afterUser string, limit int) (items []tidings.DeliveryTrace, more bool, err error)
	Cancel(ctx context.Context, application string, id tidings.ID) (canceled int, err error)
	CancelDelivery(ctx context.Context, application string, id tidings.ID, user string, c tidings.Channel) (canceled int, err error)
	CancelKey(ctx context.Context, application, key string) (canceled int, err error)
}

func (a *API) postMessage(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	request, body, err := a.request(w, r, p, tidings.MaxBody)
	if err != nil {
		return err
	}
	m, err := a.messageOf(r.Context(), p, request.Application, body)
	if err != nil {
		return a.refuse(w, r, request, err)
	}
	request.Messages = []tidings.Message{m}
	request.Respond = func(ms []tidings.Message) []byte { return append(appendAccepted(nil, ms[0].ID), '\n') }
	return a.accept(w, r, request)
}

// request reads what every POST of messages has: for which application, under which key, and the body.
func (a *API) request(w http.ResponseWriter, r *http.Request, p auth.Principal, limit int64) (tidings.Request, []byte, error) {
	q := queryOf(r)
	application, err := ofApplication(p, q)
	if err == nil {
		err = q.err()
	}
	if err == nil && p.Kind == auth.Admin { // a key's application was looked at with the key
		err = a.active(r.Context(), application)
	}
	if err != nil {
		return tidings.Request{}, nil, err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return tidings.Request{}, nil, err
	}
	body, err := middleware.ReadBody(w, r, limit)
	if err != nil {
		return tidings.Request{}, nil, err
	}
	request := tidings.Request{Application: application, Key: key}
	if key != "" {
		request.Hash = requestHash(r.Method, r.URL.Path, body)
	}
	return request, body, nil
}

// active refuses a person's message for an application that may not send.
func (a *API) active(ctx context.Context, application string) error {
	app, err := a.Platform.Application(ctx, application)
	if err == nil && app.State != tidings.ApplicationActive {
		err = tidings.Errorf(tidings.Forbidden, "the application %s is %s", app.ID, app.State)
	}
	return err
}

// idempotencyKey reads the Idempotency-Key header: 1 to 255 visible ASCII characters.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' || key[i] > '~' {
			key = ""
		}
	}
	if key == "" || len(key) > tidings.MaxKey || len(values) > 1 {
		return "", fieldError(tidings.Invalid, "Idempotency-Key", "malformed", "once, 1 to 255 visible ASCII characters")
	}
	return key, nil
}

// requestHash tells a repeated request from another one under the same key. White space between the JSON's tokens does
// not count: a client that writes its body anew for the repeat still says the same.
func requestHash(method, path string, body []byte) string {
	var compact bytes.Buffer
	compact.Grow(len(body))
	if json.Compact(&compact, body) == nil {
		body = compact.Bytes()
	}
	h := sha256.New()
	h.Write([]byte(method + " " + path + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// accept makes the request durable and answers 202.
func (a *API) accept(w http.ResponseWriter, r *http.Request, request tidings.Request) error {
	if err := a.Platform.Admit(r.Context(), request.Application, request.Messages); err != nil {
		return a.refuse(w, r, request, err)
	}
	answer, err := a.Store.Accept(r.Context(), request)
	if err != nil && tidings.CodeOf(err) == "" && r.Context().Err() == nil {
		// Nobody knows whether it was stored. With its key the repeat is safe.
		err = &tidings.Error{Code: tidings.Unavailable, Detail: "it is not known whether the request was stored; repeat it with its Idempotency-Key", After: time.Second, Err: err}
	}
	if err != nil {
		return err
	}
	writeAnswer(w, answer)
	return nil
}

// refuse answers a request that cannot be accepted. One that had been accepted under its key still gets its answer: what is
// wrong with it now (an expires_at that has passed since, a type that is gone) was not wrong then.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, request tidings.Request, cause error) error {
	if request.Key == "" || tidings.CodeOf(cause) == "" {
		return cause
	}
	answer, ok, err := a.Store.Answered(r.Context(), request.Application, request.Key, request.Hash)
	if err != nil {
		return err
	}
	if !ok {
		return cause
	}
	answer.Replayed = true
	writeAnswer(w, answer)
	return nil
}

func writeAnswer(w http.ResponseWriter, answer tidings.Answer) {
	if answer.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	middleware.WriteBody(w, http.StatusAccepted, answer.Body)
}

// appendAccepted writes what the caller of one accepted message is told. It is written by hand because it is made inside
// the group commit.
func appendAccepted(b []byte, id tidings.ID) []byte {
	s := id.String()
	b = append(b, `{"id":"`...)
	b = append(b, s...)
	b = append(b, `","status":"accepted","links":{"self":"/v1/messages/`...)
	b = append(b, s...)
	b = append(b, `","deliveries":"/v1/messages/`...)
	b = append(b, s...)
	return append(b, `/deliveries"}}`...)
}

// batchRequest is the body of POST /v1/messages/batch: with its messages read, or each as it came.
type batchRequest[T messageRequest | json.RawMessage] struct {
	Messages []T `json:"messages"`
}

// readBatch reads the messages of a batch, all at once. If that fails each is read by itself, so that a broken one is refused
// alone; refused has one entry for each.
func readBatch(body []byte) (rs []messageRequest, refused []error, err error) {
	var good batchRequest[messageRequest]
	if middleware.Decode(body, &good) == nil {
		return good.Messages, make([]error, len(good.Messages)), nil
	}
	var raw batchRequest[json.RawMessage]
	if err := middleware.Decode(body, &raw); err != nil {
		return nil, nil, err
	}
	if n := len(raw.Messages); n > tidings.MaxBatch { // the work is bounded before it is begun
		return nil, nil, errBatchSize
	}
	rs, refused = make([]messageRequest, len(raw.Messages)), make([]error, len(raw.Messages))
	for i, text := range raw.Messages {
		refused[i] = middleware.Decode(text, &rs[i])
	}
	return rs, refused, nil
}

var errBatchSize = fieldError(tidings.Invalid, "messages", "out_of_range", "1 to 500 messages")

func (a *API) postBatch(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	request, body, err := a.request(w, r, p, tidings.MaxBatchBody)
	if err != nil {
		return err
	}
	rs, refused, err := readBatch(body)
	if err != nil {
		return err
	}
	if n := len(rs); n == 0 || n > tidings.MaxBatch {
		return errBatchSize
	}
	messages, err := a.messages(r.Context(), p, request.Application, rs, refused)
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		return a.refuse(w, r, request, allRefused(refused))
	}
	request.Messages = messages
	request.Respond = func(ms []tidings.Message) []byte { return appendResults(nil, ms, refused) }
	return a.accept(w, r, request)
}

// messages checks the messages of a batch, and notes in refused what is wrong with one; err is ours.
func (a *API) messages(ctx context.Context, p auth.Principal, application string, rs []messageRequest, refused []error) (good []tidings.Message, err error) {
	good = make([]tidings.Message, 0, len(rs))
	now := a.Now()
	for i := range rs {
		if refused[i] != nil {
			continue
		}
		m, err := a.check(ctx, application, &rs[i], now)
		if err != nil && tidings.CodeOf(err) == "" {
			return nil, err
		}
		if err == nil {
			err = p.MayUse(m.Type, m.Channels...)
		}
		if refused[i] = err; err == nil {
			good = append(good, m)
		}
	}
	return good, nil
}

// allRefused is the answer to a batch of which nothing can be accepted: what is wrong, each field with its message's place.
func allRefused(refused []error) error {
	var errs tidings.FieldErrors
	for i, err := range refused {
		place := "messages[" + strconv.Itoa(i) + "]"
		p := middleware.ProblemOf(err)
		if len(p.Errors) == 0 {
			errs.Add(place, p.Code, p.Detail)
		}
		for _, f := range p.Errors {
			errs.Add(place+"."+f.Field, f.Code, f.Detail)
		}
		if len(errs) >= 100 { // enough to mend; the rest comes with the next try
			break
		}
	}
	return errs.Err(tidings.Unprocessable)
}

// appendResults writes a batch's answer: a result for each message, in their order.
func appendResults(b []byte, accepted []tidings.Message, refused []error) []byte {
	b = append(b, `{"accepted":`...)
	b = strconv.AppendInt(b, int64(len(accepted)), 10)
	b = append(b, `,"refused":`...)
	b = strconv.AppendInt(b, int64(len(refused)-len(accepted)), 10)
	b = append(b, `,"data":[`...)
	next := 0
	for i, err := range refused {
		if i > 0 {
			b = append(b, ',')
		}
		if err == nil {
			b = appendAccepted(b, accepted[next].ID)
			next++
			continue
		}
		b = append(b, `{"status":"refused","problem":`...)
		problem, _ := json.Marshal(middleware.ProblemOf(err)) // strings and numbers only
		b = append(append(b, problem...), '}')
	}
	return append(b, "]}\n"...)
}

// Package webpush simulates a push service and the browsers behind it: it checks the sender's VAPID token (RFC 8292) and decrypts
// each push (RFC 8188, 8291) by its own code, as the browser would.
package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Record is a push that a browser got.
type Record struct {
	Data         []byte
	TTL          int
	Topic        string
	Urgency      string
	Subscription string
}

// Simulator is the push service, with one browser. It is an http.Handler; a push is posted to /push/1, /gone is a browser that
// took its subscription back.
type Simulator struct {
	URL string // of the service, which tokens must be for
	key string // the public VAPID key that the browser subscribed with

	device *ecdh.PrivateKey
	secret []byte

	mu      sync.Mutex
	records []Record
	wrong   []error
}

// New returns a service whose browser subscribed with a public VAPID key, base64url.
func New(key string) (*Simulator, error) {
	device, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &Simulator{key: key, device: device, secret: make([]byte, 16)}
	rand.Read(s.secret)
	return s, nil
}

// Subscription is the browser's, for an endpoint.
func (s *Simulator) Subscription(endpoint string) string {
	text, err := json.Marshal(map[string]any{"endpoint": endpoint, "expirationTime": nil, "keys": map[string]string{
		"p256dh": base64.RawURLEncoding.EncodeToString(s.device.PublicKey().Bytes()), "auth": base64.RawURLEncoding.EncodeToString(s.secret)}})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Records lists the pushes that were taken, and Wrong why others were not.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
}

// Wrong lists why pushes were not taken.
func (s *Simulator) Wrong() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]error{}, s.wrong...)
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4097))
	status, record := 201, Record{}
	switch {
	case err != nil || r.Method != http.MethodPost:
		status = 400
	case r.URL.Path == "/gone":
		status = 410
	case len(body) > 4096:
		status = 413
	default:
		status, record, err = s.read(r, body)
	}
	s.mu.Lock()
	if err != nil {
		s.wrong = append(s.wrong, err)
	} else if status == 201 {
		s.records = append(s.records, record)
		w.Header().Set("Location", s.URL+"/message/"+strconv.Itoa(len(s.records)))
	}
	s.mu.Unlock()
	w.WriteHeader(status)
}

func (s *Simulator) read(r *http.Request, body []byte) (int, Record, error) {
	ttl, err := strconv.Atoi(r.Header.Get("TTL"))
	if err != nil || ttl < 0 {
		return 400, Record{}, errors.New("no TTL")
	}
	if topic := r.Header.Get("Topic"); len(topic) > 32 || strings.Trim(topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return 400, Record{}, errors.New("no topic: " + topic)
	}
	if err := s.authorized(r.Header.Get("Authorization")); err != nil {
		return 403, Record{}, err
	}
	if r.Header.Get("Content-Encoding") != "aes128gcm" {
		return 415, Record{}, errors.New("another encoding")
	}
	data, err := s.decrypt(body)
	if err != nil {
		return 400, Record{}, err
	}
	return 201, Record{data, ttl, r.Header.Get("Topic"), r.Header.Get("Urgency"), r.URL.Path}, nil
}

// authorized checks "vapid t=JWT, k=KEY".
func (s *Simulator) authorized(header string) error {
	rest, ok := strings.CutPrefix(header, "vapid ")
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	parts := strings.Split(fields["t"], ".")
	if !ok || len(parts) != 3 || fields["k"] != s.key {
		return fmt.Errorf("no token by the key of the subscription: %d parts", len(parts))
	}
	point, err := base64.RawURLEncoding.DecodeString(s.key)
	signature, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	claims, err3 := base64.RawURLEncoding.DecodeString(parts[1])
	if err := errors.Join(err, err2, err3); err != nil || len(point) != 65 || len(signature) != 64 {
		return fmt.Errorf("no ES256: %w", err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	key := ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(point[1:33]), Y: new(big.Int).SetBytes(point[33:])}
	if !ecdsa.Verify(&key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("the signature does not verify")
	}
	var c struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return err
	}
	if left := time.Until(time.Unix(c.Exp, 0)); c.Aud != s.URL || left <= 0 || left > 24*time.Hour ||
		!strings.HasPrefix(c.Sub, "mailto:") || strings.HasPrefix(c.Sub, "mailto:mailto:") {
		return fmt.Errorf("claims %s", claims)
	}
	return nil
}

// decrypt reads one record of aes128gcm.
func (s *Simulator) decrypt(body []byte) ([]byte, error) {
	if len(body) < 21+65+17 || body[20] != 65 {
		return nil, errors.New("no header of a record")
	}
	salt, size, sender, text := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:86], body[86:]
	public, err := ecdh.P256().NewPublicKey(sender)
	if err != nil || len(text) > int(size) {
		return nil, fmt.Errorf("record of %d: %w", len(text), err)
	}
	shared, err := s.device.ECDH(public)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(s.device.PublicKey().Bytes()) + string(sender)
	ikm, err := hkdf.Key(sha256.New, shared, s.secret, info, 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, text, nil)
	if err != nil {
		return nil, err
	}
	plain = []byte(strings.TrimRight(string(plain), "\x00"))
	if n := len(plain); n > 0 && plain[n-1] == 2 { // the last record
		return plain[:n-1], nil
	}
	return nil, errors.New("no end of the record")
}

package fcm

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	email = "tidings@simulated.iam.gserviceaccount.com"
	keyID = "0123456789abcdef"
	grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	scope = "https://www.googleapis.com/auth/firebase.messaging"
)

// key is the service account's, made anew in each process.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // there is no randomness
	}
	return k
})

// ServiceAccount is the key file of the account that may send, for the simulator at a URL.
func (s *Simulator) ServiceAccount(url string) string {
	der, err := x509.MarshalPKCS8PrivateKey(key())
	if err != nil {
		panic(err) // of a key that was just made
	}
	file, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": s.config.Project, "private_key_id": keyID, "client_email": email, "token_uri": url + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}, "", "  ")
	if err != nil {
		panic(err)
	}
	return string(file)
}

// token is Google's token endpoint for service accounts: a JWT for an access token.
func (s *Simulator) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != grant {
		answer(w, 400, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	now := s.config.Now()
	if err := verify(r.PostForm.Get("assertion"), "http://"+r.Host+"/token", now); err != nil {
		answer(w, 400, map[string]string{"error": "invalid_grant", "error_description": err.Error()})
		return
	}
	access := "ya29." + rand.Text()
	s.mu.Lock()
	s.tokens[access] = now.Add(s.config.TokenLife)
	s.issued++
	s.mu.Unlock()
	answer(w, 200, map[string]any{"access_token": access, "expires_in": int(s.config.TokenLife / time.Second), "token_type": "Bearer"})
}

// verify checks a JWT as Google describes them for service accounts: RS256 by the account's key, an hour's life at most.
func verify(token, audience string, now time.Time) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("not a JWT")
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return errors.New("not base64url")
		}
		raw[i] = b
	}
	var header struct{ Alg, Typ, Kid string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if json.Unmarshal(raw[0], &header) != nil || json.Unmarshal(raw[1], &claims) != nil {
		return errors.New("not JSON")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch at := now.Unix(); {
	case header.Alg != "RS256" || header.Kid != keyID:
		return errors.New("another algorithm or key")
	case rsa.VerifyPKCS1v15(&key().PublicKey, crypto.SHA256, digest[:], raw[2]) != nil:
		return errors.New("Invalid JWT Signature.")
	case claims.Iss != email || claims.Aud != audience || !strings.Contains(" "+claims.Scope+" ", " "+scope+" "):
		return errors.New("another issuer, audience or scope")
	case claims.Iat > at+60 || claims.Exp <= at || claims.Exp-claims.Iat > 3600:
		return errors.New("Invalid JWT: Token must be a short-lived token and in a reasonable timeframe.")
	}
	return nil
}

// Run serves a simulator until ctx ends. It prints the URL on which it listens, and writes the key file to give to Tidings.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("fcm", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	file := flags.String("account", "", "write the service account's key file here; empty: print it")
	c := Config{Log: out}
	flags.StringVar(&c.Project, "project", "demo", "the Firebase project")
	devices := flags.String("devices", "", "registration tokens, separated by commas; empty: every well-formed one is a device")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.Devices = strings.FieldsFunc(*devices, func(r rune) bool { return r == ',' })
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := New(c)
	url := "http://" + listener.Addr().String()
	fmt.Fprintf(out, "FCM simulator listens on %s\n", url)
	if account := s.ServiceAccount(url); *file == "" {
		fmt.Fprintln(out, account)
	} else if err := os.WriteFile(*file, []byte(account), 0o600); err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

package huawei

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tidings"
	"tidings/channels/bearer"
	"tidings/channels/once"
)

// oauth fetches access tokens for an app's id and secret (v1).
func (a account) oauth(address, id, secret string) *bearer.Source {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode()
	return bearer.New(a.now, func(ctx context.Context) (string, time.Duration, error) {
		answer, err := a.client.Post(ctx, address, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form))
		if err != nil {
			return "", 0, err
		}
		return decodeToken(answer)
	})
}

// decodeToken reads the token endpoint's answer (RFC 6749, 5). Huawei's error is a number there.
func decodeToken(a once.Answer) (token string, life time.Duration, err error) {
	var r struct {
		Token   string          `json:"access_token"`
		Expires int64           `json:"expires_in"`
		Error   json.RawMessage `json:"error"`
		Why     string          `json:"error_description"`
	}
	switch err := json.Unmarshal(a.Body, &r); {
	case err == nil && !a.Cut && a.Status == 200 && r.Token != "" && r.Expires > 0:
		return r.Token, time.Duration(r.Expires) * time.Second, nil
	case err == nil && len(r.Error) > 0 && a.Status < 500:
		return "", 0, because(ourFault, fmt.Errorf("no access token: %s %s", once.Excerpt(string(r.Error)), once.Excerpt(r.Why)))
	}
	return "", 0, because(tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, After: a.RetryAfter()},
		fmt.Errorf("no access token: the answer was %d", a.Status))
}

// serviceAccount is a key file of Huawei's API console (v3).
type serviceAccount struct {
	Project string `json:"project_id"`
	KeyID   string `json:"key_id"`
	Key     string `json:"private_key"`
	Account string `json:"sub_account"`

	key crypto.Signer
}

func parseServiceAccount(text string) (serviceAccount, error) {
	var a serviceAccount
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, errors.New("not a key file in JSON")
	}
	if a.Project == "" || a.Account == "" {
		return a, errors.New("it has no project_id or sub_account")
	}
	key, err := bearer.ParseKey(a.Key)
	if err != nil {
		return a, fmt.Errorf("its private_key is %w", err)
	}
	if _, ok := key.(*rsa.PrivateKey); !ok {
		return a, errors.New("its private_key is not RSA")
	}
	a.key = key
	return a, nil
}

// source signs JWTs, which v3 takes as they are instead of access tokens: PS256, for an hour.
func (a serviceAccount) source(audience string, now func() time.Time) *bearer.Source {
	return bearer.New(now, func(context.Context) (string, time.Duration, error) {
		at := now()
		token, err := bearer.JWT(a.key, bearer.PS256, a.KeyID, map[string]any{"iss": a.Account, "aud": audience, "iat": at.Unix(), "exp": at.Add(time.Hour).Unix()})
		return token, time.Hour, err
	})
}

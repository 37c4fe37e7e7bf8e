package bearer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// Algorithm is how a JWT is signed, as its header names it.
type Algorithm string

// The algorithms of the providers.
const (
	RS256 Algorithm = "RS256"
	PS256 Algorithm = "PS256"
	ES256 Algorithm = "ES256"
)

// JWT signs claims. The same key, algorithm and claims give the same token where the algorithm allows it: for ES256 by the
// deterministic signatures of RFC 6979, so that several processes can have one token without talking to each other.
func JWT(key crypto.Signer, alg Algorithm, kid string, claims map[string]any) (string, error) {
	header := map[string]any{"alg": alg, "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	signature, err := sign(key, alg, sha256.Sum256([]byte(signed)))
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func sign(key crypto.Signer, alg Algorithm, digest [sha256.Size]byte) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		switch alg {
		case RS256:
			return rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
		case PS256:
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		if alg != ES256 {
			break
		}
		der, err := k.Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		var pair struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &pair); err != nil {
			return nil, err
		}
		signature := make([]byte, 64) // RFC 7518, 3.4: r and s, 32 bytes each
		pair.R.FillBytes(signature[:32])
		pair.S.FillBytes(signature[32:])
		return signature, nil
	}
	return nil, fmt.Errorf("no %s signature with a %T", alg, key)
}

// ParseKey reads a private key as providers hand it out: PKCS #8 in PEM.
func ParseKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not a key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a private key in PKCS #8") // the cause may show parts of it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("no signatures are made with a %T", key)
	}
	return signer, nil
}

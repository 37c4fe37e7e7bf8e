package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockData makes the data directory this process's own until unlock. SQLite and the embedded Redis belong to one
// process: a second one would answer from a cache of its own.
func lockData(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(name)
		_ = f.Close()
		return nil, fmt.Errorf("the data directory %s is in use by another 'tidings up' (process %s)\n"+
			"  stop it, or give this one a directory of its own: --data DIR", dir, or(strings.TrimSpace(string(holder)), "unknown"))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid()) // for the error message of the next one; flock alone decides
	}
	return func() { _ = f.Close() }, nil
}

// minSecret is the least length of the master secret: 32 characters of base64 are 192 bits.
const minSecret = 32

// masterSecret is TIDINGS_SECRET, else the file 'secret' in the data directory, made by whoever starts first.
func masterSecret(cfg *config) ([]byte, error) {
	if cfg.Secret != "" {
		if len(cfg.Secret) < minSecret {
			return nil, fmt.Errorf("TIDINGS_SECRET has %d characters and needs %d: openssl rand -base64 32", len(cfg.Secret), minSecret)
		}
		return []byte(cfg.Secret), nil
	}
	secret, err := keptSecret(filepath.Join(cfg.Data, "secret"))
	return []byte(secret), err
}

// oldSecrets are the master secrets beside the current one, whose seals and signatures are still taken.
func oldSecrets(cfg *config) ([][]byte, error) {
	switch {
	case cfg.SecretOld == "":
		return nil, nil
	case len(cfg.SecretOld) < minSecret:
		return nil, fmt.Errorf("TIDINGS_SECRET_OLD has %d characters and needs %d", len(cfg.SecretOld), minSecret)
	}
	return [][]byte{[]byte(cfg.SecretOld)}, nil
}

// keptSecret reads a secret from a file, or makes it. Several processes may start at once: the file appears under its
// name whole and only once, by link, and each reads it afterwards.
func keptSecret(name string) (string, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecret(name); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if len(secret) < minSecret {
		return "", fmt.Errorf("%s holds %d characters and needs %d", name, len(secret), minSecret)
	}
	return secret, nil
}

func makeSecret(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: Go 1.24
	f, err := os.CreateTemp(filepath.Dir(name), ".secret-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it lives on under its own name
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(random[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), name)
}

package main

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/platform"
	"tidings/sql"
)

// Every driver's secrets are sealed on the disk, under the new master secret once the keys were rotated.
func TestSecretsOfIntegrationsAreNowhereInTheDatabase(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	old, fresh := []byte("an old master secret of 32 characters"), []byte("a fresh master secret of 32 characters")
	open := func(s *auth.Sealer) *sql.DB {
		db, err := sql.Open(ctx, sql.Options{URL: "sqlite:" + filepath.Join(dir, "t.db"), Sealer: s})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open(auth.NewSealer(old))
	p := platform.New(platform.Config{Store: db, Now: time.Now, Drivers: drivers})
	for id, i := range map[string]tidings.Integration{
		"gate": {Provider: "kannel", Settings: map[string]string{"user": "plain-user", "password": "marker-password"}},
		"push": {Provider: "baidu", Settings: map[string]string{"key": "plain-key", "secret": "marker-secret"}},
	} {
		i.ID = id
		if _, err := p.PutIntegration(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	both := open(auth.NewSealer(fresh, old))
	if done, lost, err := both.Reseal(ctx, func(int, int) {}); done != 2 || lost != 0 || err != nil {
		t.Errorf("%d sealed anew, %d lost, %v", done, lost, err)
	}
	if err := both.Close(); err != nil {
		t.Fatal(err)
	}
	after := open(auth.NewSealer(fresh))
	_, all, err := after.Configured(ctx, 0)
	if err != nil || len(all) != 2 || fmt.Sprint(all[1].Values["password"], all[0].Values["secret"]) != "marker-passwordmarker-secret" {
		t.Errorf("%+v %v", all, err)
	}
	if err := after.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var whole string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		whole += string(b)
	}
	if strings.Contains(whole, "marker-") || !strings.Contains(whole, "plain-user") {
		t.Error("a secret lies on the disk, or the test looks at the wrong file")
	}
}

// Who can write the database, but has not the secret, cannot give an account of his the password of another.
func TestSealedSecretsAreOpenedInTheirOwnRowAlone(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "t.db")
	open := func() *sql.DB {
		db, err := sql.Open(ctx, sql.Options{URL: url, Sealer: auth.NewSealer([]byte("a master secret of 32 characters, or more"))})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	p := platform.New(platform.Config{Store: db, Now: time.Now, Drivers: drivers})
	for _, id := range []string{"mine", "theirs"} {
		if _, err := p.PutIntegration(ctx, tidings.Integration{ID: id, Provider: "kannel", Settings: map[string]string{"user": id, "password": "of " + id}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := dbsql.Open("sqlite", filepath.Join(dir, "t.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec("UPDATE integrations SET secrets = (SELECT secrets FROM integrations WHERE id = 'theirs') WHERE id = 'mine'")
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer db.Close() //nolint:errcheck // only read
	_, all, err := db.Configured(ctx, 0)
	if err != nil || len(all) != 1 || all[0].ID != "theirs" || all[0].Values["password"] != "of theirs" {
		t.Errorf("%+v %v", all, err)
	}
}

func TestTheEnvironmentsIntegrationsCanBeOpened(t *testing.T) {
	cfg := &config{KannelUser: "u", KannelPassword: "p", KannelURL: "http://127.0.0.1:1/", BaiduKey: "k", BaiduSecret: "s", BaiduURL: "https://api.tuisong.baidu.com", BaiduDeviceType: "3"}
	all := givenIntegrations(cfg)
	if len(all) != 2 || len(givenIntegrations(&config{KannelURL: "http://x/"})) != 0 {
		t.Fatalf("%+v", all)
	}
	for _, c := range all {
		for _, d := range drivers {
			if d.Provider != c.Provider {
				continue
			}
			if _, err := d.Open(tidings.Setup{Values: d.Filled(c.Values), ReportURL: func(tidings.ID) string { return "http://us/" }}); err != nil || d.Channel != c.Channel {
				t.Errorf("%s: %v", c.ID, err)
			}
		}
	}
}

package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"tidings"
)

// specOf reads the flags as 'tidings type put' does, into the type that the API would make of them.
func specOf(t *testing.T, args ...string) (tidings.MessageType, error) {
	t.Helper()
	f := &typeFlags{}
	c := f.command(&deps{})
	if err := c.ParseFlags(args); err != nil {
		return tidings.MessageType{}, err
	}
	if err := c.ValidateFlagGroups(); err != nil {
		return tidings.MessageType{}, err
	}
	spec, err := f.spec(c, "x")
	if err != nil {
		return tidings.MessageType{}, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var made tidings.MessageType
	if err := json.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	made.Application, made.Name = "a", "x"
	return made, nil
}

func TestTheFlagsOfATypeSayAllThatTheAPITakes(t *testing.T) {
	made, err := specOf(t, "--lane", "normal", "--channel", "web,sms", "--ttl", "7200", "--title", "Orders", "--mandatory", "web", "--cap", "sms=3/24h", "--dedup", "1h", "--replace", "--var", "order:string!=A-1",
		"--route", "web", "--route", "sms:10m", "--route", "sms:20m:role:manager", "--route", "sms:1m:head_office", "--until", "anyone", "--hours", "hold", "--on-unknown", "sms=at_least_once",
		"--quiet", "22:00-08:00", "--timezone", "Asia/Shanghai", "--digest", "orders.summary", "--digest-at", "09:00", "--digest-at", "18:00")
	if err != nil {
		t.Fatal(err)
	}
	if errs := made.Validate(); len(errs) > 0 {
		t.Errorf("the API would refuse it: %v", errs)
	}
	for v, i := reflect.ValueOf(made), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("no flag for %s", v.Type().Field(i).Name)
		}
	}
	want := []tidings.Step{{Channels: []tidings.Channel{"web"}}, {Channels: []tidings.Channel{"sms"}, After: 600},
		{Channels: []tidings.Channel{"sms"}, After: 1200, To: "role:manager"}, {Channels: []tidings.Channel{"sms"}, After: 60, To: "head_office"}}
	if !reflect.DeepEqual(made.Route.Steps, want) {
		t.Errorf("the steps are %+v", made.Route.Steps)
	}
	if d := *made.Digest; d.Timezone != "Asia/Shanghai" || len(d.Times) != 2 || d.Type != "orders.summary" || len(d.Channels) != 1 || d.Channels[0] != tidings.SMS {
		t.Errorf("the digest is %+v", d)
	}
	if q := *made.Quiet; q.From != "22:00" || q.To != "08:00" || q.Channels[0] != tidings.SMS {
		t.Errorf("the quiet hours are %+v", q)
	}
}

func TestFlagsOfATypeThatSayHalfAreRefused(t *testing.T) {
	for args, word := range map[string]string{
		"--route sms:soon":             "no time after the step before",
		"--route sms:1500ms":           "whole seconds",
		"--until anyone":               "--route",
		"--quiet 22:00 --timezone UTC": "two times",
		"--quiet 22:00-08:00":          "--timezone",
		"--quiet-channel sms":          "--quiet",
		"--digest s":                   "needs a time",
		"--digest-every 15m":           "--digest",
		"--digest s --digest-at 09:00": "--timezone",
		"--digest s --digest-every 1h --digest-at 09:00 --timezone UTC": "none of the others",
		"--file x --route web": "none of the others",
	} {
		if _, err := specOf(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

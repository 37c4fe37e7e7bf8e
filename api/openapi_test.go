package api_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tidings"
	"tidings/api"
	"tidings/auth"
	"tidings/middleware"
)

// description is the part of openapi.yaml that is compared with the router.
type description struct {
	OpenAPI    string                               `yaml:"openapi"`
	Paths      map[string]map[string]map[string]any `yaml:"paths"`
	Components map[string]map[string]any            `yaml:"components"`
}

func described(t *testing.T) description {
	t.Helper()
	var d description
	if err := yaml.Unmarshal(tidings.OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func routes() []api.Route {
	return api.New(api.Config{Door: middleware.NewDoor(middleware.Config{})}).Routes()
}

func TestTheDescriptionNamesExactlyTheRoutesThatThereAre(t *testing.T) {
	t.Parallel()
	var there, said []string
	for _, r := range routes() {
		there = append(there, r.Method+" "+r.Path)
	}
	for path, methods := range described(t).Paths {
		for method := range methods {
			if method != "parameters" {
				said = append(said, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(there)
	slices.Sort(said)
	for _, r := range there {
		if !slices.Contains(said, r) {
			t.Errorf("%s is not described", r)
		}
	}
	for _, r := range said {
		ofOthers := strings.Contains(r, " /v1/queues") || strings.Contains(r, " /comet/") // the console's and comet's, whose tests compare them
		if !slices.Contains(there, r) && !ofOthers {
			t.Errorf("%s is described and does not exist", r)
		}
	}
}

func TestTheDescriptionSaysWhoMayUseEachRoute(t *testing.T) {
	t.Parallel()
	d := described(t)
	for _, r := range routes() {
		op := d.Paths[r.Path][strings.ToLower(r.Method)]
		security := fmt.Sprint(op["security"])
		if r.Access.Public != (security == "[]") {
			t.Errorf("%s %s: public %v, and described with security %s", r.Method, r.Path, r.Access.Public, security)
		}
		for _, k := range r.Access.Kinds {
			if !strings.Contains(security, string(k)) {
				t.Errorf("%s %s: %s may use it, and is not described: %s", r.Method, r.Path, k, security)
			}
		}
		if r.Access.Scope != "" && !strings.Contains(security, r.Access.Scope) {
			t.Errorf("%s %s: the scope %s is not described: %s", r.Method, r.Path, r.Access.Scope, security)
		}
	}
}

func TestEveryReferenceOfTheDescriptionLeadsSomewhere(t *testing.T) {
	t.Parallel()
	d := described(t)
	for _, m := range regexp.MustCompile(`#/components/(\w+)/(\w+)`).FindAllStringSubmatch(string(tidings.OpenAPI), -1) {
		if _, ok := d.Components[m[1]][m[2]]; !ok {
			t.Errorf("%s leads nowhere", m[0])
		}
	}
}

func TestEveryRouteSaysWhoMayUseIt(t *testing.T) {
	t.Parallel()
	for _, r := range routes() {
		if r.Access.Public == (len(r.Access.Kinds) > 0) {
			t.Errorf("%s %s: %+v", r.Method, r.Path, r.Access)
		}
		if people := slices.Contains(r.Access.Kinds, auth.Admin); people != (len(auth.Roles[r.Access.Action]) > 0) {
			t.Errorf("%s %s names no action for people, or one without people: %q", r.Method, r.Path, r.Access.Action)
		}
	}
}

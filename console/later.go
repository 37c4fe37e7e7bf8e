package console

import (
	"bytes"
	"encoding/json"

	"tidings"
)

// HoursRules and the texts of route and digest are what the form shows of what follows later. The two are written as in the API:
// steps in an order are no easier in fields.
func (p typePage) HoursRules() []tidings.HoursRule {
	return []tidings.HoursRule{tidings.HoursAlways, tidings.HoursHold, tidings.HoursSummary}
}

// RouteText is the route as JSON, or nothing.
func (p typePage) RouteText() string {
	if p.Route == nil {
		return ""
	}
	return pretty(p.Route)
}

// DigestText is the digest as JSON, or nothing.
func (p typePage) DigestText() string {
	if p.Digest == nil {
		return ""
	}
	return pretty(p.Digest)
}

func pretty(value any) string {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return ""
	}
	return string(text)
}

// readLater reads route, hours and digest.
func (v *visit) readLater(t *tidings.MessageType, errs *tidings.FieldErrors) {
	t.Hours = tidings.HoursRule(v.value("hours"))
	if text := v.value("route"); text != "" {
		t.Route = &tidings.RoutePath{}
		strict("route", text, t.Route, errs)
	}
	if text := v.value("digest"); text != "" {
		t.Digest = &tidings.Digest{}
		strict("digest", text, t.Digest, errs)
	}
}

func strict(field, text string, into any, errs *tidings.FieldErrors) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		errs.Add(field, "malformed", "JSON as the API takes it")
	}
}

package baidu

import (
	"net/url"
	"strings"

	"tidings"
)

// Driver offers Baidu Cloud Push for the channel ids of apps.
var Driver = tidings.Driver{
	Provider: "baidu", Channel: tidings.App, Bound: true,
	Fields: []tidings.Field{
		{Name: "key", Required: true, Help: "the app's API key"},
		{Name: "secret", Secret: true, Required: true, Help: "the app's secret key, with which requests are signed"},
		{Name: "device_type", Default: "android", Help: "of addresses that name no platform: android or ios"},
		{Name: "development", Default: "false", Help: "true sends iOS pushes through Apple's sandbox"},
		{Name: "url", Default: DefaultURL, Help: "scheme and host of the server"},
	},
	Open: open,
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	platform, err := ParsePlatform(s.Values["device_type"])
	if err != nil {
		errs.Add("device_type", "malformed", "neither android nor ios")
	}
	u, err := url.Parse(s.Values["url"])
	if s.Values["url"] != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "") {
		errs.Add("url", "malformed", "not scheme and host of a server")
	}
	development := s.Values["development"]
	if development != "" && development != "true" && development != "false" {
		errs.Add("development", "malformed", "neither true nor false")
	}
	for _, name := range []string{"key", "secret"} {
		if s.Values[name] == "" {
			errs.Add(name, "missing", "of the app at Baidu")
		}
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return New(Config{URL: s.Values["url"], Key: s.Values["key"], Secret: s.Values["secret"], Platform: platform, Development: development == "true", Now: s.Now})
}

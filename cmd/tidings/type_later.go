package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidings"
)

// laterFlags is what the command line says about when a type goes out: its route, its hours and its digest.
type laterFlags struct {
	steps                     []string
	until, hours, quiet, zone string
	quietChannels, digestAt   []string
	digest                    string
	digestChannels            []string
	digestEvery               time.Duration
	digestOpening             bool
	onUnknown                 map[string]string
}

func (f *laterFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&f.steps, "route", nil, "a step of its route as CHANNELS[:AFTER[:TO]]: web, sms+app:10m, sms:20m:role:manager, sms:30m:head_office (repeatable)")
	flags.StringVar(&f.until, "until", "", "whose reading ends the route: user (each his own) or anyone")
	flags.StringVar(&f.hours, "hours", "", "while the store is closed: always (goes out), hold (waits) or summary (becomes a digest)")
	flags.StringVar(&f.quiet, "quiet", "", "hours in which it waits on --quiet-channel, by --timezone: 22:00-08:00")
	flags.StringSliceVar(&f.quietChannels, "quiet-channel", nil, "a channel of the quiet hours (repeatable; default: all but the web)")
	flags.StringVar(&f.zone, "timezone", "", "time zone of --quiet and --digest-at, such as Asia/Shanghai")
	flags.StringVar(&f.digest, "digest", "", "gather it into summaries, which are messages of this type")
	flags.StringSliceVar(&f.digestChannels, "digest-channel", nil, "a channel that is gathered (repeatable; default: all but the web)")
	flags.DurationVar(&f.digestEvery, "digest-every", 0, "a summary after this time since the first: 15m")
	flags.StringSliceVar(&f.digestAt, "digest-at", nil, "a summary at this time of the day, by --timezone: 09:00 (repeatable)")
	flags.BoolVar(&f.digestOpening, "digest-opening", false, "a summary when the store opens")
	flags.StringToStringVar(&f.onUnknown, "on-unknown", nil, "when a provider does not answer, CHANNEL=at_most_once or at_least_once (repeatable)")
	c.MarkFlagsMutuallyExclusive("digest-every", "digest-at", "digest-opening")
}

// into writes it into the body of a PUT. channels are the type's.
func (f *laterFlags) into(spec map[string]any, channels []string) error {
	if len(f.steps) > 0 {
		route := tidings.RoutePath{Until: tidings.Until(f.until)}
		for _, text := range f.steps {
			s, err := parseStep(text)
			if err != nil {
				return fmt.Errorf("--route %s: %w", text, err)
			}
			route.Steps = append(route.Steps, s)
		}
		spec["route"] = route
	} else if f.until != "" {
		return fmt.Errorf("--until ends a route: give its steps with --route")
	}
	if f.hours != "" {
		spec["hours"] = f.hours
	}
	if f.quiet != "" {
		from, to, ok := strings.Cut(f.quiet, "-")
		if !ok || f.zone == "" {
			return fmt.Errorf("--quiet is two times of the day, 22:00-08:00, by a --timezone")
		}
		spec["quiet"] = tidings.QuietHours{From: from, To: to, Timezone: f.zone, Channels: disturbing(f.quietChannels, channels)}
	} else if len(f.quietChannels) > 0 {
		return fmt.Errorf("--quiet-channel is about hours: give them with --quiet")
	}
	if len(f.onUnknown) > 0 {
		spec["on_unknown"] = f.onUnknown
	}
	return f.digestInto(spec, channels)
}

func (f *laterFlags) digestInto(spec map[string]any, channels []string) error {
	when := f.digestEvery > 0 || len(f.digestAt) > 0 || f.digestOpening
	switch {
	case f.digest == "" && (when || len(f.digestChannels) > 0):
		return fmt.Errorf("which message type writes the summary? give it with --digest")
	case f.digest == "":
		return nil
	case !when && f.hours != string(tidings.HoursSummary):
		return fmt.Errorf("--digest needs a time: --digest-every, --digest-at or --digest-opening")
	case len(f.digestAt) > 0 && f.zone == "":
		return fmt.Errorf("--digest-at is a time of the day by a --timezone")
	}
	d := tidings.Digest{Window: tidings.Seconds(f.digestEvery.Seconds()), Times: f.digestAt, Opening: f.digestOpening, Type: f.digest,
		Channels: disturbing(f.digestChannels, channels)}
	if len(f.digestAt) > 0 {
		d.Timezone = f.zone
	}
	spec["digest"] = d
	return nil
}

// disturbing are the channels that were named, or all of the type's that disturb somebody.
func disturbing(named, all []string) (cs []tidings.Channel) {
	if len(named) == 0 {
		named = slices.DeleteFunc(slices.Clone(all), func(c string) bool { return c == string(tidings.Web) })
	}
	for _, c := range named {
		cs = append(cs, tidings.Channel(c))
	}
	return cs
}

// parseStep reads CHANNELS[:AFTER[:TO]]. What is wrong with the channels and whom it goes to is the API's to say.
func parseStep(text string) (s tidings.Step, err error) {
	parts := strings.SplitN(text, ":", 3)
	for name := range strings.SplitSeq(parts[0], "+") {
		s.Channels = append(s.Channels, tidings.Channel(name))
	}
	if len(parts) > 1 && parts[1] != "" {
		after, err := time.ParseDuration(parts[1])
		if err != nil || after < 0 || after%time.Second != 0 {
			return s, fmt.Errorf("%q is no time after the step before, in whole seconds, such as 10m", parts[1])
		}
		s.After = tidings.Seconds(after.Seconds())
	}
	if len(parts) > 2 {
		s.To = parts[2]
	}
	return s, nil
}

package console

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
)

func (c *Console) limitRoutes() []route {
	const one = root + "/applications/{app}/usage"
	return []route{
		{"GET", root + "/limits", auth.ReadInstallation, (*visit).getLimits},
		{"GET", one, auth.ReadApplication, (*visit).getUsage},
		{"POST", one, auth.WriteQuotas, (*visit).postQuota},
	}
}

// usageView is a bar chart, measured out so that the template only has to draw it.
type usageView struct {
	Width, Height, LabelY int
	Bars                  []bar
	Lines                 []line
	Labels                []label
	Totals                []total
}

type bar struct {
	X, Y, W, H int
	Day        string
	Channel    tidings.Channel
	N          int
}

type line struct {
	Y, TextY int
	Text     string
}

type label struct {
	X    int
	Text string
}

type total struct {
	Channel tidings.Channel
	N       int
}

// The measures of the chart, in its own units.
const (
	chartWidth, chartHeight = 640, 180
	chartLeft, chartTop     = 34, 10
	chartBottom             = 24
	usageDays               = 14
)

// chart stacks the deliveries of each day by channel.
func chart(days []tidings.UsageDay) usageView {
	v := usageView{Width: chartWidth, Height: chartHeight, LabelY: chartHeight - 6}
	totals := map[tidings.Channel]int{}
	most := 0
	for _, d := range days {
		sum := 0
		for c, states := range d.Counts {
			for _, n := range states {
				totals[c] += n
				sum += n
			}
		}
		most = max(most, sum)
	}
	if most == 0 {
		return usageView{}
	}
	top := niceCeiling(most)
	plot := chartHeight - chartTop - chartBottom
	for _, part := range []int{0, top / 2, top} {
		y := chartTop + plot - plot*part/top
		v.Lines = append(v.Lines, line{Y: y, TextY: y + 4, Text: short(part)})
	}
	step := (chartWidth - chartLeft) / len(days)
	for i, d := range days {
		x, y := chartLeft+i*step, chartTop+plot
		for _, c := range tidings.Channels {
			n := 0
			for _, k := range d.Counts[c] {
				n += k
			}
			if n == 0 {
				continue
			}
			h := max(1, plot*n/top)
			y -= h
			v.Bars = append(v.Bars, bar{X: x + step/8, Y: y, W: max(2, step*3/4), H: h, Day: d.Day, Channel: c, N: n})
		}
		if (len(days)-1-i)%2 == 0 || len(days) <= 8 {
			v.Labels = append(v.Labels, label{X: x + step/2, Text: dayOfMonth(d.Day)})
		}
	}
	for _, c := range slices.SortedFunc(maps.Keys(totals), func(a, b tidings.Channel) int {
		return slices.Index(tidings.Channels, a) - slices.Index(tidings.Channels, b)
	}) {
		v.Totals = append(v.Totals, total{c, totals[c]})
	}
	return v
}

// niceCeiling is the smallest of 2, 5, 10, 20, 50, ... that is not below n: its half can stand on the axis too, save 5's.
func niceCeiling(n int) int {
	for ten := 1; ; ten *= 10 {
		for _, k := range []int{2, 4, 10} {
			if k*ten >= n {
				return k * ten
			}
		}
	}
}

// short writes a number for an axis.
func short(n int) string {
	switch {
	case n >= 1_000_000:
		return strconv.FormatFloat(float64(n)/1e6, 'g', 3, 64) + "M"
	case n >= 1000:
		return strconv.FormatFloat(float64(n)/1e3, 'g', 3, 64) + "k"
	}
	return strconv.Itoa(n)
}

// dayOfMonth writes a day as the axis has room for it.
func dayOfMonth(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("1/2")
}

func (v *visit) usage(ctx context.Context, application string) (usageView, error) {
	u, err := v.Platform.Usage(ctx, application, usageDays)
	if err != nil {
		return usageView{}, err
	}
	return chart(u.Days), nil
}

// limitsPage is what limits.html shows: how every application stands.
type limitsPage struct{ Rows []tidings.Usage }

func (v *visit) getLimits() error {
	apps, err := v.Platform.Applications(v.r.Context())
	if err != nil {
		return err
	}
	var p limitsPage
	for _, a := range apps {
		if a.State == tidings.ApplicationApplied || a.State == tidings.ApplicationRejected {
			continue
		}
		u, err := v.Platform.Usage(v.r.Context(), a.ID, 1)
		if err != nil {
			return err
		}
		u.Application = a.ID
		p.Rows = append(p.Rows, u)
	}
	return v.show("limits", v.t("nav.limits"), nil, p)
}

// usagePage is what usage.html shows: how an application stands, and the form for its limits.
type usagePage struct {
	tidings.Usage
	Chart    usageView
	Days     []usageRow
	MaySet   bool
	Rate     string
	Burst    string
	Daily    []dailyRow
	Budget   string
	Timezone string
	Caps     string
}

type usageRow struct {
	Day    string
	Counts map[tidings.Channel]map[tidings.State]int
}

type dailyRow struct {
	Channel tidings.Channel
	Value   string
	Used    int
	Limit   int
}

func (v *visit) usagePage() (usagePage, error) {
	u, err := v.Platform.Usage(v.r.Context(), v.app(), usageDays)
	if err != nil {
		return usagePage{}, err
	}
	p := usagePage{Usage: u, Chart: chart(u.Days), MaySet: v.may(auth.WriteQuotas), Timezone: tidings.DefaultTimezone}
	for _, d := range slices.Backward(u.Days) {
		p.Days = append(p.Days, usageRow{d.Day, d.Counts})
	}
	var q tidings.Quota
	if u.Quota != nil {
		q = *u.Quota
	}
	if q.Rate > 0 {
		p.Rate = strconv.FormatFloat(q.Rate, 'f', -1, 64)
	}
	p.Burst, p.Budget = unlessZero(q.Burst), unlessZero(q.SMSBudget)
	if q.Timezone != "" {
		p.Timezone = q.Timezone
	}
	p.Caps = capsText(q.Caps)
	for _, c := range tidings.Channels {
		p.Daily = append(p.Daily, dailyRow{Channel: c, Value: unlessZero(q.Daily[c]), Used: u.Used[c], Limit: q.Daily[c]})
	}
	return p, nil
}

func unlessZero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (v *visit) getUsage() error {
	p, err := v.usagePage()
	if err != nil {
		return err
	}
	return v.show("usage", v.t("usage"), v.appCrumbs(), p)
}

func (v *visit) postQuota() error {
	p, err := v.usagePage()
	if err != nil {
		return err
	}
	p.Rate, p.Burst, p.Budget, p.Timezone = v.value("rate"), v.value("burst"), v.value("budget"), v.value("timezone")
	p.Caps = v.value("caps")
	q := tidings.Quota{Application: v.app(), Timezone: p.Timezone, Daily: map[tidings.Channel]int{}}
	var errs tidings.FieldErrors
	number := func(field, s string) int {
		n, err := whole(field, s)
		if err != nil {
			errs.Add(field, "malformed", "a whole number, 0 or more")
		}
		return n
	}
	if p.Rate != "" {
		if q.Rate, err = strconv.ParseFloat(p.Rate, 64); err != nil {
			errs.Add("rate", "malformed", "a number of messages a second")
		}
	}
	q.Burst, q.SMSBudget = number("burst", p.Burst), number("sms_budget", p.Budget)
	for i, row := range p.Daily {
		p.Daily[i].Value = v.value("daily." + string(row.Channel))
		if n := number("daily."+string(row.Channel), p.Daily[i].Value); n > 0 {
			q.Daily[row.Channel] = n
		}
	}
	q.Caps = readCaps(p.Caps, &errs)
	if err = errs.Err(tidings.Invalid); err == nil {
		_, err = v.Platform.PutQuota(v.r.Context(), q)
	}
	if err != nil {
		return v.showWrong(err, "usage", v.t("usage"), v.appCrumbs(), p)
	}
	return v.leave(root+"/applications/"+v.app()+"/usage", "saved")
}

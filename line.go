package tidings

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Wanted says for what deliveries an integration is sought.
type Wanted struct {
	Channel     Channel
	Lane        Lane
	Application string
	Provider    string   // that the address names
	Tried       []string // integrations that said no in this round: another one is sought
	Before      []string // integrations at which any attempt was made: a further one there is a retry
	First       string   // the integration to be asked first, whatever the order: it drops repeats by key
}

// Line is a place for some calls at an integration, taken out of what it bears at once.
type Line struct {
	Integration string
	Sender      Sender
	Calls       int // that may be made; 0: there is no line, see Closed
	// Done is told once for each call what Send returned, and how long it took.
	Done func(err error, took time.Duration)
	// Back is told of places that are not used after all.
	Back func(n int)
}

// Closed says why no integration takes a call at the moment, and when to look again.
type Closed struct {
	Reason Reason
	After  time.Duration
}

// Candidates are the integrations that may carry what is wanted, in the order in which they are tried. Those of an application
// stand in place of those for all: who brings an account of his own is not to be sent over another. Among equal Order the
// weights decide, by random, which gives a number from 0 to 1. bound tells whether a provider's addresses work with it alone; an
// address that names no provider goes to the first.
//
// Those that said no already come out again only when all have.
func Candidates(all []Integration, w Wanted, bound func(provider string) bool, random func() float64) []Integration {
	own := slices.ContainsFunc(all, func(i Integration) bool {
		return i.Channel == w.Channel && i.Application != "" && i.Application == w.Application && i.State == IntegrationActive
	})
	var fit, fresh []Integration
	for _, i := range all {
		mine := i.Application == "" && !own || own && i.Application == w.Application
		if mine && i.Channel == w.Channel && i.State == IntegrationActive && (w.Provider == "" || i.Provider == w.Provider || !bound(i.Provider)) {
			fit = append(fit, i)
		}
	}
	place := map[string]float64{} // exponential with the weight as its rate: the first of them is drawn by weight
	for _, i := range fit {
		place[i.ID] = -math.Log(max(random(), math.SmallestNonzeroFloat64)) / float64(max(i.Weight, 1))
	}
	slices.SortStableFunc(fit, func(a, b Integration) int {
		if first := boolToInt(b.ID == w.First) - boolToInt(a.ID == w.First); first != 0 {
			return first
		}
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(place[a.ID], place[b.ID]))
	})
	for _, i := range fit {
		if !slices.Contains(w.Tried, i.ID) {
			fresh = append(fresh, i)
		}
	}
	if len(fresh) == 0 {
		return fit
	}
	return fresh
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Elsewhere tells whether another integration may take what this one did not: it is certain that it was not taken, and the
// fault lies with the account or its way, not with the address or the content.
func (e *SendError) Elsewhere() bool {
	return e.Outcome == Busy || e.Outcome == Refused && (e.Configuration || e.Reason == ProviderRefused || e.Reason == Misconfigured)
}

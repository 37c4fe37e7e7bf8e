package sql

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"time"

	"tidings"
)

type integrationRow struct {
	ID, Application, Channel, Provider, Name, State string
	Ord, Weight                                     int
	Settings, Secrets                               string
	Rate                                            float64
	Burst, Parallel                                 int
	ChangedAt                                       int64 `db:"changed_at"`
}

// open reads a row with its secrets.
func (r integrationRow) open(s Sealer) (tidings.Integration, map[string]string, error) {
	i := tidings.Integration{ID: r.ID, Application: r.Application, Channel: tidings.Channel(r.Channel), Provider: r.Provider, Name: r.Name,
		State: tidings.IntegrationState(r.State), Order: r.Ord, Weight: r.Weight, Rate: r.Rate, Burst: r.Burst, Parallel: r.Parallel,
		ChangedAt: timeOf(r.ChangedAt)}
	if err := json.Unmarshal([]byte(r.Settings), &i.Settings); err != nil {
		return i, nil, err
	}
	secrets := map[string]string{}
	if r.Secrets != "" {
		text, err := s.Open(integrationPlace(r.ID), r.Secrets)
		if err != nil {
			return i, nil, err
		}
		if err := json.Unmarshal([]byte(text), &secrets); err != nil {
			return i, nil, err
		}
	}
	i.Secrets = slices.Sorted(maps.Keys(secrets))
	return i, secrets, nil
}

// Integrations reads all integrations by channel, application and order, without their secrets.
func (db *DB) Integrations(ctx context.Context) ([]tidings.Integration, error) {
	var rows []integrationRow
	if err := db.Select(ctx, &rows, "integrations"); err != nil {
		return nil, err
	}
	return each(rows, func(r integrationRow) (tidings.Integration, error) {
		i, _, err := r.open(db.sealer)
		return i, err
	})
}

// Integration reads one, without its secrets.
func (db *DB) Integration(ctx context.Context, id string) (tidings.Integration, error) {
	var r integrationRow
	if err := db.Get(ctx, &r, "integration", id); err != nil {
		return tidings.Integration{}, notFound(err, "integration", id)
	}
	i, _, err := r.open(db.sealer)
	return i, err
}

// Configured reads all integrations with their secrets, for a worker that asks every second or two: while nothing changed since
// the version it knows, it reads one number and returns that version and nil. One whose secrets cannot be read is left out and
// named in the log, so that it stops nobody else.
func (db *DB) Configured(ctx context.Context, known int64) (version int64, all []tidings.Configured, err error) {
	if err := db.Get(ctx, &version, "integrations-version"); err != nil || version == known {
		return version, nil, err
	}
	var rows []integrationRow
	if err := db.Select(ctx, &rows, "integrations"); err != nil {
		return known, nil, err
	}
	all = []tidings.Configured{}
	for _, r := range rows {
		i, secrets, err := r.open(db.sealer)
		if err != nil {
			db.log.Error("an integration cannot be read and takes no deliveries", "integration", r.ID, "error", err)
			continue
		}
		values := maps.Clone(i.Settings)
		if values == nil {
			values = map[string]string{}
		}
		maps.Copy(values, secrets)
		all = append(all, tidings.Configured{Integration: i, Values: values})
	}
	return version, all, nil
}

// IntegrationSecrets reads an integration with its secrets.
func (db *DB) IntegrationSecrets(ctx context.Context, id string) (tidings.Integration, map[string]string, error) {
	var r integrationRow
	if err := db.Get(ctx, &r, "integration", id); err != nil {
		return tidings.Integration{}, nil, notFound(err, "integration", id)
	}
	return r.open(db.sealer)
}

// PutIntegration makes an integration or changes it. change gets it as it stands (State "" when there is none) with its secrets, and
// changes both in place. It returns which secrets it set, whose names alone stand in the audit log.
func (db *DB) PutIntegration(ctx context.Context, action, id string, change func(i *tidings.Integration, secrets map[string]string) ([]string, error)) (tidings.Integration, error) {
	err := db.tx(ctx, func(t *tx) error {
		var r integrationRow
		i, secrets := tidings.Integration{ID: id}, map[string]string{}
		err := t.Get(ctx, &r, "lock-integration", id)
		isNew := noRows(err)
		if err == nil {
			i, secrets, err = r.open(db.sealer)
		}
		if err != nil && !isNew {
			return err
		}
		named, err := change(&i, secrets)
		if err != nil {
			return err
		}
		sealed := ""
		if len(secrets) > 0 {
			sealed = db.sealer.Seal(integrationPlace(id), mustJSON(secrets))
		}
		i.Secrets, i.ChangedAt, i.Health = slices.Sorted(maps.Keys(secrets)), time.Time{}, nil
		query := "change-integration"
		if isNew {
			query = "create-integration"
		}
		if _, err := t.Exec(ctx, query, i.ID, i.Application, string(i.Channel), i.Provider, i.Name, string(i.State), i.Order, i.Weight,
			mustJSON(i.Settings), sealed, i.Rate, i.Burst, i.Parallel); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "integrations-changed"); err != nil {
			return err
		}
		return t.append(ctx, action, "integration "+id, struct {
			tidings.Integration
			Set []string `json:"secrets_set,omitempty"`
		}{i, named})
	})
	if duplicate(err) { // two made it at once
		return tidings.Integration{}, tidings.Errorf(tidings.Conflict, "the integration %s was made at the same time by somebody else", id)
	}
	if err != nil {
		return tidings.Integration{}, err
	}
	return db.Integration(ctx, id)
}

// DeleteIntegration removes an integration. Attempts made at it keep its id.
func (db *DB) DeleteIntegration(ctx context.Context, id string) error {
	return db.changed(ctx, "integration.delete", "integration "+id, nil, func(t *tx) error {
		n, err := t.Exec(ctx, "delete-integration", id)
		if err == nil && n == 0 {
			err = tidings.Errorf(tidings.NotFound, "there is no integration %s", id)
		}
		if err != nil {
			return err
		}
		_, err = t.Exec(ctx, "integrations-changed")
		return err
	})
}

const (
	healthKept = time.Hour
	maxError   = 200 // runes
)

// personal is what may be a phone number, a device token or an e-mail address in what a provider said.
var personal = regexp.MustCompile(`[^\s@"'<>:=]+@[^\s@"'<>]+|\+?\d(?:[ -]?\d){6,}|[0-9A-Za-z_-]{32,}`)

// RecordHealth writes what a worker saw of its integrations, each row whole in place of what was written of the same minute. It is called
// every ten seconds or so and forgets what is older than an hour. From errors it takes whatever may name a person.
func (db *DB) RecordHealth(ctx context.Context, hs []tidings.IntegrationHealth) error {
	if len(hs) == 0 {
		return nil
	}
	count := func(f func(tidings.IntegrationHealth) int) []int64 {
		return ints(hs, func(h tidings.IntegrationHealth) int64 { return int64(f(h)) })
	}
	return db.relaxed(ctx, func(t *tx) error {
		_, err := t.Exec(ctx, "put-health", columns(
			strs(hs, func(h tidings.IntegrationHealth) string { return h.Integration }),
			strs(hs, func(h tidings.IntegrationHealth) string { return h.Worker }),
			ints(hs, func(h tidings.IntegrationHealth) int64 { return micros(h.Minute.Truncate(time.Minute)) }),
			strs(hs, func(h tidings.IntegrationHealth) string { return string(h.Breaker) }),
			count(func(h tidings.IntegrationHealth) int { return h.Calls }), count(func(h tidings.IntegrationHealth) int { return h.Accepted }),
			count(func(h tidings.IntegrationHealth) int { return h.Refused }), count(func(h tidings.IntegrationHealth) int { return h.Busy }),
			count(func(h tidings.IntegrationHealth) int { return h.Unknown }),
			count(func(h tidings.IntegrationHealth) int { return h.P50 }), count(func(h tidings.IntegrationHealth) int { return h.P99 }),
			strs(hs, func(h tidings.IntegrationHealth) string { return impersonal(h.Error) })))
		if err == nil {
			_, err = t.Exec(ctx, "forget-health", micros(time.Now().Add(-healthKept)))
		}
		return err
	})
}

func impersonal(text string) string {
	text = personal.ReplaceAllString(text, "…")
	if runes := []rune(text); len(runes) > maxError {
		text = string(runes[:maxError])
	}
	return text
}

type healthRow struct {
	Integration, Worker, Breaker, Error               string
	Minute, At                                        int64
	Calls, Accepted, Refused, Busy, Unknown, P50, P99 int
}

// Health sums up what all workers saw of each integration in the last tidings.HealthMinutes.
func (db *DB) Health(ctx context.Context, now time.Time) (map[string]tidings.IntegrationHealth, error) {
	var rows []healthRow
	if err := db.Select(ctx, &rows, "health", micros(now.Add(-tidings.HealthMinutes*time.Minute))); err != nil {
		return nil, err
	}
	seen := make([]tidings.IntegrationHealth, len(rows))
	for i, r := range rows {
		seen[i] = tidings.IntegrationHealth{Integration: r.Integration, Worker: r.Worker, Minute: timeOf(r.Minute), Breaker: tidings.Breaker(r.Breaker),
			Calls: r.Calls, Accepted: r.Accepted, Refused: r.Refused, Busy: r.Busy, Unknown: r.Unknown, P50: r.P50, P99: r.P99, Error: r.Error, At: timeOf(r.At)}
	}
	return tidings.SumHealth(seen, now), nil
}

// WakeUnavailable makes the deliveries due that were held because no integration could carry them, for the integrations
// have changed.
func (db *DB) WakeUnavailable(ctx context.Context) error {
	return db.relaxed(ctx, func(t *tx) error {
		_, err := t.Exec(ctx, "wake-unavailable")
		return err
	})
}

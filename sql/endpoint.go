package sql

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"tidings"
)

// lockPatience is how long a change of endpoints waits for the writers under way.
const lockPatience = 5 * time.Second

func asPg(err error) (*pgconn.PgError, bool) { return errors.AsType[*pgconn.PgError](err) }

type endpointRow struct {
	ID                     int64
	Application, Name, URL string
	Events                 string
	Secret                 string
	OldSecret              string `db:"old_secret"`
	OldUntil               int64  `db:"old_until"`
	State, Reason          string
	CreatedAt              int64 `db:"created_at"`
	ChangedAt              int64 `db:"changed_at"`
	Failures               int
	FailingSince           int64 `db:"failing_since"`
	SucceededAt            int64 `db:"succeeded_at"`
	CalledAt               int64 `db:"called_at"`
	NextAt                 int64 `db:"next_at"`
	Error                  string
	Overlaps               bool
}

func (r endpointRow) endpoint() tidings.Endpoint {
	e := tidings.Endpoint{ID: tidings.ID(r.ID), Application: r.Application, Name: r.Name, URL: r.URL, State: tidings.EndpointState(r.State),
		Reason: tidings.EndpointReason(r.Reason), CreatedAt: timeOf(r.CreatedAt), ChangedAt: timeOf(r.ChangedAt),
		Health: tidings.EndpointHealth{Failures: r.Failures, FailingSince: timeOf(r.FailingSince), SucceededAt: timeOf(r.SucceededAt),
			CalledAt: timeOf(r.CalledAt), NextAt: timeOf(r.NextAt)}}
	if r.Failures > 0 {
		e.Health.Error = r.Error
	}
	for name := range strings.FieldsFuncSeq(r.Events, func(c rune) bool { return c == ',' }) {
		e.Events = append(e.Events, tidings.EventType(name))
	}
	if r.Overlaps {
		e.OldSecretUntil = timeOf(r.OldUntil)
	}
	return e
}

// secrets are those that sign for now, the newest first.
func (r endpointRow) secrets(s Sealer) (secrets []string, err error) {
	sealed := []string{r.Secret}
	if r.Overlaps {
		sealed = append(sealed, r.OldSecret)
	}
	for _, text := range sealed {
		plain, err := s.Open(endpointPlace(r.ID), text)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, plain)
	}
	return secrets, nil
}

func eventList(types []tidings.EventType) string {
	return "," + strings.ReplaceAll(tidings.Names(types), ", ", ",") + ","
}

// endpointDetail is what the audit log keeps of an endpoint; the secret is not in it.
type endpointDetail struct {
	Application string                 `json:"application"`
	URL         string                 `json:"url,omitempty"`
	Events      []tidings.EventType    `json:"events,omitempty"`
	Reason      tidings.EndpointReason `json:"reason,omitempty"`
}

// endpointChanged makes a change of endpoints with its triggers and its row in the audit log.
func (db *DB) endpointChanged(ctx context.Context, action string, id tidings.ID, detail func() any, f func(*tx) error) error {
	return db.tx(ctx, func(t *tx) error {
		if err := t.watch(ctx, func() error { return f(t) }); err != nil {
			return err
		}
		return t.append(ctx, action, "endpoint "+id.String(), detail())
	})
}

// CreateEndpoint makes an endpoint of an application. From the commit on it is told of all that it asks for.
func (db *DB) CreateEndpoint(ctx context.Context, e tidings.Endpoint, secret string) (tidings.Endpoint, error) {
	e.ID = db.ids.Next()
	err := db.endpointChanged(ctx, "endpoint.create", e.ID, func() any { return endpointDetail{Application: e.Application, URL: e.URL, Events: e.Events} }, func(t *tx) error {
		var there []endpointRow // the lock of watch lets nobody else count meanwhile
		if err := t.Select(ctx, &there, "endpoints", e.Application, 0); err != nil {
			return err
		}
		if len(there) >= tidings.MaxEndpoints {
			return tidings.Errorf(tidings.Conflict, "the application has %d endpoints; delete one first", len(there))
		}
		_, err := t.Exec(ctx, "create-endpoint", int64(e.ID), e.Application, e.Name, e.URL, eventList(e.Events), db.sealer.Seal(endpointPlace(int64(e.ID)), secret))
		return err
	})
	if missingReference(err) {
		return e, tidings.Errorf(tidings.NotFound, "there is no application %s", e.Application)
	}
	if err != nil {
		return e, err
	}
	return db.Endpoint(ctx, e.Application, e.ID)
}

// Endpoints reads the endpoints of an application with how they fare, the oldest first.
func (db *DB) Endpoints(ctx context.Context, application string) ([]tidings.Endpoint, error) {
	return db.endpoints(ctx, application, 0)
}

// Endpoint reads one. Another application's is not found.
func (db *DB) Endpoint(ctx context.Context, application string, id tidings.ID) (tidings.Endpoint, error) {
	found, err := db.endpoints(ctx, application, id)
	if err == nil && (len(found) == 0 || id == 0) {
		err = noEndpoint(id)
	}
	if err != nil {
		return tidings.Endpoint{}, err
	}
	return found[0], nil
}

func noEndpoint(id tidings.ID) error {
	return tidings.Errorf(tidings.NotFound, "there is no endpoint %s", id)
}

func (db *DB) endpoints(ctx context.Context, application string, id tidings.ID) ([]tidings.Endpoint, error) {
	var rows []endpointRow
	if err := db.Select(ctx, &rows, "endpoints", application, int64(id)); err != nil {
		return nil, err
	}
	return each(rows, func(r endpointRow) (tidings.Endpoint, error) {
		e := r.endpoint()
		var counts []struct {
			State tidings.EventState
			N     int
		}
		err := db.Select(ctx, &counts, "count-events", r.ID)
		for _, c := range counts {
			if c.State == tidings.EventPending {
				e.Health.Pending = c.N
			} else {
				e.Health.Failed = c.N
			}
		}
		return e, err
	})
}

// ChangeEndpoint changes an endpoint in place. secret is the new one, "" when it stays; the one before goes on signing for
// tidings.SecretOverlap.
func (db *DB) ChangeEndpoint(ctx context.Context, action, application string, id tidings.ID, secret string, change func(*tidings.Endpoint) error) (tidings.Endpoint, error) {
	var e tidings.Endpoint
	err := db.endpointChanged(ctx, action, id, func() any {
		return endpointDetail{Application: e.Application, URL: e.URL, Events: e.Events, Reason: e.Reason}
	}, func(t *tx) error {
		var r endpointRow
		if err := t.Get(ctx, &r, "lock-endpoint", application, int64(id)); noRows(err) {
			return noEndpoint(id)
		} else if err != nil {
			return err
		}
		e = r.endpoint()
		if err := change(&e); err != nil {
			return err
		}
		var overlap time.Duration
		if secret != "" {
			r.Secret, r.OldSecret, overlap = db.sealer.Seal(endpointPlace(r.ID), secret), r.Secret, tidings.SecretOverlap
		}
		if _, err := t.Exec(ctx, "change-endpoint", r.ID, e.Name, e.URL, eventList(e.Events), r.Secret, r.OldSecret, overlap.Microseconds(), e.State, e.Reason); err != nil {
			return err
		}
		if e.State == tidings.EndpointActive && r.State != string(e.State) {
			_, err := t.Exec(ctx, "restart-events", r.ID, tidings.EventPatience.Microseconds())
			return err
		}
		return nil
	})
	if err != nil {
		return e, err
	}
	return db.Endpoint(ctx, application, id)
}

// DeleteEndpoint removes an endpoint. What was noted for it is not sent any more and forgotten in its time.
func (db *DB) DeleteEndpoint(ctx context.Context, application string, id tidings.ID) error {
	return db.endpointChanged(ctx, "endpoint.delete", id, func() any { return endpointDetail{Application: application} }, func(t *tx) error {
		n, err := t.Exec(ctx, "delete-endpoint", application, int64(id))
		if err == nil && n == 0 {
			err = noEndpoint(id)
		}
		return err
	})
}

// resealEndpoints seals the endpoints' secrets under the current key of the Sealer.
func (db *DB) resealEndpoints(ctx context.Context) (done, lost int, err error) {
	var rows []endpointRow
	if err := db.Select(ctx, &rows, "all-endpoints"); err != nil {
		return 0, 0, err
	}
	prefix := db.sealer.Prefix()
	for _, r := range rows {
		if strings.HasPrefix(r.Secret, prefix) && (r.OldSecret == "" || strings.HasPrefix(r.OldSecret, prefix)) {
			continue
		}
		secret, old, err := r.Secret, r.OldSecret, error(nil)
		for _, s := range []*string{&secret, &old} {
			if *s == "" || err != nil {
				continue
			}
			if *s, err = db.sealer.Open(endpointPlace(r.ID), *s); err == nil {
				*s = db.sealer.Seal(endpointPlace(r.ID), *s)
			}
		}
		if err != nil {
			db.log.Error("an endpoint's secret cannot be opened and stays as it is", "endpoint", tidings.ID(r.ID), "error", err)
			lost++
			continue
		}
		if _, err := db.Exec(ctx, "reseal-endpoint", r.ID, r.Secret, r.OldSecret, secret, old); err != nil {
			return done, lost, err
		}
		done++
	}
	return done, lost, nil
}

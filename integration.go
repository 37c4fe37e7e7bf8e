package tidings

import (
	"maps"
	"time"
)

// Integration is a configured account of a provider. Several of one channel stand in an order: the first that is well takes a
// delivery, and those of the same order share what comes by their weights.
type Integration struct {
	ID          string            `json:"id"`
	Application string            `json:"application,omitempty"` // "": serves every application
	Channel     Channel           `json:"channel"`
	Provider    string            `json:"provider"` // names the driver
	Name        string            `json:"name,omitempty"`
	State       IntegrationState  `json:"state"`
	Order       int               `json:"order"`              // the lower one first
	Weight      int               `json:"weight,omitempty"`   // share among those of one order; 0: 1
	Settings    map[string]string `json:"settings,omitempty"` // what the driver's Fields ask for, secrets left out
	Rate        float64           `json:"rate,omitempty"`     // calls a second by contract; 0: no limit
	Burst       int               `json:"burst,omitempty"`    // calls at once; 0: one second's
	Parallel    int               `json:"parallel,omitempty"` // calls under way at once in each worker; 0: DefaultParallel
	ChangedAt   time.Time         `json:"changed_at,omitzero"`
	// Secrets names the driver's secret fields that are set. Their values are shown nowhere.
	Secrets []string `json:"secrets,omitempty"`
	// Environment says that it stands in the environment of the processes, where alone it can be changed.
	Environment bool `json:"environment,omitempty"`
	// Health is what the workers saw of it in the last minutes; nil: nothing.
	Health *IntegrationHealth `json:"health,omitempty"`
}

// Configured is an integration with all its values, the secrets among them: for who makes calls, and for nobody else.
type Configured struct {
	Integration
	Values map[string]string
}

// DefaultParallel is how many calls to an integration are under way at once in each worker.
const DefaultParallel = 32

// IntegrationState tells whether an integration takes deliveries.
type IntegrationState string

// The states of an integration.
const (
	IntegrationActive IntegrationState = "active"
	IntegrationPaused IntegrationState = "paused"
)

// Driver is what a provider's package offers: which settings an account has, and how a Sender is made of them.
type Driver struct {
	Provider string  `json:"provider"`
	Channel  Channel `json:"channel"`
	// Bound says that an address works with this provider alone, which its Provider names: a device token. A phone number is
	// not bound: any integration of the channel may carry it.
	Bound bool `json:"bound"`
	// Apart says that each address is a server of its own: one that hangs is no reason to leave the others.
	Apart  bool    `json:"-"`
	Fields []Field `json:"fields"`
	// Open checks the settings and returns a Sender; it calls nobody. A wrong setting is a FieldErrors.
	Open func(Setup) (Sender, error) `json:"-"`
}

// Field is one setting of a driver.
type Field struct {
	Name     string `json:"name"`
	Secret   bool   `json:"secret"` // kept sealed, shown never
	Required bool   `json:"required"`
	Default  string `json:"default,omitempty"`
	Help     string `json:"help"` // one line, for console and CLI
}

// Filled are values with the defaults of the driver's fields in the places of those that are not set.
func (d Driver) Filled(values map[string]string) map[string]string {
	filled := maps.Clone(values)
	if filled == nil {
		filled = map[string]string{}
	}
	for _, f := range d.Fields {
		if filled[f.Name] == "" && f.Default != "" {
			filled[f.Name] = f.Default
		}
	}
	return filled
}

// Setup is an integration opened: what a driver needs to make calls.
type Setup struct {
	Integration string
	Values      map[string]string // of the driver's Fields, secrets among them, defaults filled in
	Now         func() time.Time
	// ReportURL is the signed URL at which the provider reports on one attempt.
	ReportURL func(attempt ID) string
}

package platform

import (
	"context"
	"slices"
	"strings"

	"tidings"
)

// minPassword is the shortest password; length is what counts.
const (
	minPassword = 12
	maxPassword = 256
)

// CreateAccount makes an account. password may be empty: he then uses keys alone.
func (p *Platform) CreateAccount(ctx context.Context, a tidings.Account, password string) (tidings.Account, error) {
	var errs tidings.FieldErrors
	if !tidings.ValidName(a.ID) || a.ID == tidings.RootAccount || a.ID == "system" || strings.Contains(a.ID, ":") {
		errs.Add("id", "malformed", "1 to 64 letters, digits and ._@-, and not root")
	}
	if a.State == "" {
		a.State = tidings.AccountActive
	}
	if a.Name == "" {
		a.Name = a.ID
	}
	a.Hash = p.hashed(&errs, password)
	if err := p.validateAccount(ctx, errs, a); err != nil {
		return tidings.Account{}, err
	}
	if err := p.store.CreateAccount(ctx, a); err != nil {
		return tidings.Account{}, err
	}
	return p.store.Account(ctx, a.ID)
}

// hashed is what is kept of a password; none is kept of none.
func (p *Platform) hashed(errs *tidings.FieldErrors, password string) string {
	if password == "" {
		return ""
	}
	if len(password) < minPassword || len(password) > maxPassword {
		errs.Add("password", "out_of_range", "12 to 256 bytes")
		return ""
	}
	return p.hash(password)
}

func (p *Platform) validateAccount(ctx context.Context, errs tidings.FieldErrors, a tidings.Account) error {
	if a.Name == "" || len(a.Name) > maxText {
		errs.Add("name", "malformed", "1 to 200 bytes")
	}
	if !slices.Contains(tidings.Roles, a.Role) {
		errs.Add("role", "unknown", "admin, operator, approver, developer or viewer")
	}
	if a.State != tidings.AccountActive && a.State != tidings.AccountDisabled {
		errs.Add("state", "unknown", "active or disabled")
	}
	if a.Locale != "" && a.Locale != "zh" && a.Locale != "en" {
		errs.Add("locale", "unknown", "zh or en")
	}
	if a.Application != "" && a.Role != tidings.RoleDeveloper && a.Role != tidings.RoleViewer {
		errs.Add("application", "unknown", "developers and viewers may belong to one")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return err
	}
	if a.Application == "" {
		return nil
	}
	_, err := p.store.Application(ctx, a.Application)
	if tidings.CodeOf(err) == tidings.NotFound {
		return tidings.FieldErrors{{Field: "application", Code: "unknown", Detail: "there is none of that id"}}.Err(tidings.Unprocessable)
	}
	return err
}

// AccountChange is what an account shall be from now on; nil leaves a field as it is.
type AccountChange struct {
	Name        *string               `json:"name"`
	Role        *tidings.Role         `json:"role"`
	Application *string               `json:"application"`
	Locale      *string               `json:"locale"`
	State       *tidings.AccountState `json:"state"`
	Password    *string               `json:"password"`
}

// own tells whether the change is one that everybody may make to his own account.
func (c AccountChange) own() bool { return c.Role == nil && c.Application == nil && c.State == nil }

// ChangeAccount changes an account. Another role, state or password ends its sessions.
func (p *Platform) ChangeAccount(ctx context.Context, id string, c AccountChange) (tidings.Account, error) {
	var errs tidings.FieldErrors
	hash := ""
	if c.Password != nil {
		hash = p.hashed(&errs, *c.Password)
	}
	return p.store.UpdateAccount(ctx, id, func(a *tidings.Account) error {
		set(&a.Name, c.Name)
		set(&a.Role, c.Role)
		set(&a.Application, c.Application)
		set(&a.Locale, c.Locale)
		set(&a.State, c.State)
		if c.Password != nil {
			a.Hash = hash
		}
		return p.validateAccount(ctx, errs, *a)
	})
}

// ChangeOwnAccount is ChangeAccount for its holder: name, language, and the password when he knows the old one.
func (p *Platform) ChangeOwnAccount(ctx context.Context, id, oldPassword string, c AccountChange) (tidings.Account, error) {
	if !c.own() {
		return tidings.Account{}, tidings.Errorf(tidings.Forbidden, "role, application and state are an admin's to change")
	}
	a, err := p.store.Account(ctx, id)
	if err != nil {
		return a, err
	}
	if c.Password != nil && !p.verify(a.Hash, oldPassword) {
		return a, tidings.FieldErrors{{Field: "old_password", Code: "wrong", Detail: "is not the password of the account"}}.Err(tidings.Invalid)
	}
	return p.ChangeAccount(ctx, id, c)
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// Account returns one account.
func (p *Platform) Account(ctx context.Context, id string) (tidings.Account, error) {
	return p.store.Account(ctx, id)
}

// Accounts lists all accounts.
func (p *Platform) Accounts(ctx context.Context) ([]tidings.Account, error) {
	return p.store.Accounts(ctx)
}

// Changes reads the audit log, the newest first.
func (p *Platform) Changes(ctx context.Context, q tidings.ChangeQuery) ([]tidings.Change, error) {
	return p.store.Changes(ctx, q)
}

// VerifyAudit checks the whole audit log; known is a head that was kept elsewhere, or none.
func (p *Platform) VerifyAudit(ctx context.Context, known tidings.AuditHead) (tidings.AuditReport, error) {
	return p.store.VerifyAudit(ctx, known)
}

package platform

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings"
)

// The scopes that each kind of key may have. An admin's key has a role instead.
var scopes = map[tidings.KeyKind][]string{
	tidings.ApplicationKey: {tidings.ScopeSend, tidings.ScopeReadMessages, tidings.ScopeTemplates, tidings.ScopeDirectoryWrite,
		tidings.ScopeTokensMint, tidings.ScopeReceipts},
	tidings.MerchantKey: {tidings.ScopeHistoryRead, tidings.ScopeInboxWrite},
	tidings.AdminKey:    {},
}

// maxTypes bounds the message types that a key is narrowed to.
const maxTypes = 100

var roles = []tidings.Role{tidings.RoleAdmin, tidings.RoleOperator}

// CreateKey makes a key. shown is the whole key: it is not kept and cannot be shown again.
func (p *Platform) CreateKey(ctx context.Context, want tidings.Key) (k tidings.Key, shown string, err error) {
	if err := p.validateKey(want).Err(tidings.Invalid); err != nil {
		return tidings.Key{}, "", err
	}
	if err := p.holderExists(ctx, want); err != nil {
		return tidings.Key{}, "", err
	}
	k, shown = p.newKey(want.Kind)
	k.Application, k.Dimension, k.Role, k.Account, k.Name = want.Application, want.Dimension, want.Role, want.Account, want.Name
	k.Types, k.Channels, k.MadeBy = want.Types, want.Channels, tidings.ActorOf(ctx).Account
	k.Scopes = append(k.Scopes, want.Scopes...)
	k.CreatedAt, k.ExpiresAt = p.now().UTC().Truncate(time.Microsecond), want.ExpiresAt
	return k, shown, p.store.CreateKey(ctx, k)
}

func (p *Platform) validateKey(k tidings.Key) tidings.FieldErrors {
	var errs tidings.FieldErrors
	allowed, ok := scopes[k.Kind]
	if !ok {
		errs.Add("kind", "unknown", "merchant or admin")
	}
	for i, s := range k.Scopes {
		if !slices.Contains(allowed, s) || slices.Contains(k.Scopes[:i], s) {
			errs.Add("scopes["+strconv.Itoa(i)+"]", "unknown", "once each of "+strings.Join(allowed, ", "))
		}
	}
	if len(k.Scopes) == 0 && len(allowed) > 0 {
		errs.Add("scopes", "missing", "at least one of "+strings.Join(allowed, ", "))
	}
	if k.Kind == tidings.AdminKey && k.Account != "" {
		if k.Role != "" {
			errs.Add("role", "unknown", "a key of an account has its role")
		}
	} else if (k.Kind == tidings.AdminKey) != slices.Contains(roles, k.Role) || k.Account != "" {
		errs.Add("role", "unknown", "admin keys have an account, or the role admin or operator; others neither")
	}
	if k.Kind != tidings.ApplicationKey && len(k.Types)+len(k.Channels) > 0 {
		errs.Add("types", "unknown", "only an application's key is narrowed to types and channels")
	}
	if len(k.Types) > maxTypes {
		errs.Add("types", "too_many", "at most 100")
	}
	for i, t := range k.Types {
		if !tidings.ValidName(t) {
			errs.Add("types["+strconv.Itoa(i)+"]", "malformed", "the name of a message type")
		}
	}
	for i, c := range k.Channels {
		if !c.Valid() || slices.Contains(k.Channels[:i], c) {
			errs.Add("channels["+strconv.Itoa(i)+"]", "unknown", "once each of "+tidings.Names(tidings.Channels))
		}
	}
	if (k.Kind == tidings.MerchantKey) != (k.Dimension != "") {
		errs.Add("merchant", "missing", "merchant keys name a merchant or a store, others neither")
	}
	if len(k.Name) > maxText {
		errs.Add("name", "too_long", "at most 200 bytes")
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(p.now()) {
		errs.Add("expires_at", "out_of_range", "lies in the past")
	}
	return errs
}

// holderExists refuses a key for what is not in the directory or the platform.
func (p *Platform) holderExists(ctx context.Context, k tidings.Key) error {
	field, err := "", error(nil)
	switch merchant, ok := strings.CutPrefix(k.Dimension, tidings.ViaMerchant); {
	case k.Kind == tidings.ApplicationKey:
		a, err := p.store.Application(ctx, k.Application)
		if err == nil && a.State != tidings.ApplicationActive {
			err = tidings.Errorf(tidings.Conflict, "the application %s is %s", a.ID, a.State)
		}
		return err
	case k.Account != "":
		field = "account"
		_, err = p.store.Account(ctx, k.Account)
	case k.Kind == tidings.MerchantKey && ok:
		field = "merchant"
		_, err = p.store.Merchant(ctx, merchant)
	case k.Kind == tidings.MerchantKey:
		field = "store"
		_, err = p.store.Store(ctx, strings.TrimPrefix(k.Dimension, tidings.ViaStore))
	}
	if tidings.CodeOf(err) == tidings.NotFound {
		return tidings.FieldErrors{{Field: field, Code: "unknown", Detail: "there is none of that id"}}.Err(tidings.Unprocessable)
	}
	return err
}

// GrantedByApplication tells whether an application's own developers may give a key the scope; the others only an admin grants.
func GrantedByApplication(scope string) bool {
	return scope == tidings.ScopeSend || scope == tidings.ScopeReadMessages || scope == tidings.ScopeTemplates
}

// AccountKeys lists the keys of an account.
func (p *Platform) AccountKeys(ctx context.Context, account string) ([]tidings.Key, error) {
	return p.store.AccountKeys(ctx, account)
}

// RevokeAccountKey ends a key of an account; another's is not found.
func (p *Platform) RevokeAccountKey(ctx context.Context, account, id string) error {
	k, err := p.store.Key(ctx, id)
	if err == nil && (k.Account != account || account == "") {
		err = tidings.Errorf(tidings.NotFound, "there is no key %s", id)
	}
	if err != nil {
		return err
	}
	return p.store.RevokeKey(ctx, "", id)
}

// Keys lists the keys of an application, or with "" those of merchants and admins.
func (p *Platform) Keys(ctx context.Context, application string) ([]tidings.Key, error) {
	return p.store.Keys(ctx, application)
}

// RevokeKey ends a key of an application, or with "" one of a merchant or admin. Every process acts on it within 5 s.
func (p *Platform) RevokeKey(ctx context.Context, application, id string) error {
	return p.store.RevokeKey(ctx, application, id)
}

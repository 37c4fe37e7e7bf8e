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
	k.Application, k.Dimension, k.Role, k.Name = want.Application, want.Dimension, want.Role, want.Name
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
	if (k.Kind == tidings.AdminKey) != slices.Contains(roles, k.Role) {
		errs.Add("role", "unknown", "admin keys have the role admin or operator, others none")
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
		_, err := p.store.Application(ctx, k.Application)
		return err
	case k.Kind == tidings.MerchantKey && ok:
		field = "merchant"
		_, err = p.store.Merchant(ctx, merchant)
	case k.Kind == tidings.MerchantKey:
		field = "store"
		_, err = p.store.Store(ctx, strings.TrimPrefix(k.Dimension, tidings.ViaStore))
	}
	if tidings.CodeOf(err) == tidings.NotFound {
		return tidings.FieldErrors{{Field: field, Code: "unknown", Detail: "it is not in the directory"}}.Err(tidings.Unprocessable)
	}
	return err
}

// Keys lists the keys of an application, or with "" those of merchants and admins.
func (p *Platform) Keys(ctx context.Context, application string) ([]tidings.Key, error) {
	return p.store.Keys(ctx, application)
}

// RevokeKey ends a key of an application, or with "" one of a merchant or admin. Every process acts on it within 5 s.
func (p *Platform) RevokeKey(ctx context.Context, application, id string) error {
	return p.store.RevokeKey(ctx, application, id)
}

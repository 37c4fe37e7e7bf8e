package console

import (
	"cmp"
	"slices"

	"tidings"
	"tidings/auth"
	"tidings/platform"
)

func (c *Console) accountRoutes() []route {
	return []route{
		{"GET", root + "/accounts", auth.ManageAccounts, (*visit).getAccounts},
		{"POST", root + "/accounts", auth.ManageAccounts, (*visit).postAccount},
		{"GET", root + "/accounts/{id}", auth.ManageAccounts, (*visit).getAccount},
		{"POST", root + "/accounts/{id}", auth.ManageAccounts, (*visit).putAccount},
		{"POST", root + "/accounts/{id}/password", auth.ManageAccounts, (*visit).setPassword},
		{"GET", root + "/me", auth.OwnAccount, (*visit).getMe},
		{"POST", root + "/me/password", auth.OwnAccount, (*visit).setOwnPassword},
	}
}

// accountsPage is what accounts.html shows: the people, and the form for a new one.
type accountsPage struct {
	Accounts     []tidings.Account
	Form         tidings.Account
	Roles        []tidings.Role
	Applications []tidings.Application
}

func (v *visit) accountsPage() (p accountsPage, err error) {
	if p.Accounts, err = v.Platform.Accounts(v.r.Context()); err != nil {
		return p, err
	}
	p.Roles, p.Form.Role = tidings.Roles, tidings.RoleDeveloper
	p.Applications, err = v.Platform.Applications(v.r.Context())
	return p, err
}

func (v *visit) getAccounts() error {
	p, err := v.accountsPage()
	if err != nil {
		return err
	}
	return v.show("accounts", v.t("nav.accounts"), nil, p)
}

// readAccount reads the fields that make an account and those that change it.
func (v *visit) readAccount(id string) tidings.Account {
	return tidings.Account{ID: id, Name: v.value("name"), Role: tidings.Role(v.value("role")), Application: v.value("application"),
		Locale: v.value("locale"), State: tidings.AccountState(cmp.Or(v.value("state"), string(tidings.AccountActive)))}
}

func (v *visit) postAccount() error {
	a := v.readAccount(v.value("id"))
	if _, err := v.Platform.CreateAccount(v.r.Context(), a, v.r.PostForm.Get("password")); err != nil {
		p, failed := v.accountsPage()
		if failed != nil {
			return failed
		}
		p.Form = a
		return v.showWrong(err, "accounts", v.t("nav.accounts"), nil, p)
	}
	return v.leave(root+"/accounts", "saved")
}

// account is the person whom the path names.
func (v *visit) account() (p accountsPage, err error) {
	if p, err = v.accountsPage(); err != nil {
		return p, err
	}
	i := slices.IndexFunc(p.Accounts, func(a tidings.Account) bool { return a.ID == v.r.PathValue("id") })
	if i < 0 {
		return p, tidings.Errorf(tidings.NotFound, "there is no such account")
	}
	p.Form = p.Accounts[i]
	return p, nil
}

func (v *visit) accountCrumbs() []crumb { return []crumb{{v.t("nav.accounts"), root + "/accounts"}} }

func (v *visit) getAccount() error {
	p, err := v.account()
	if err != nil {
		return err
	}
	return v.show("account", p.Form.Name, v.accountCrumbs(), p)
}

func (v *visit) putAccount() error {
	return v.onAccount(func(id string) error {
		a := v.readAccount(id)
		_, err := v.Platform.ChangeAccount(v.r.Context(), id, platform.AccountChange{Name: &a.Name, Role: &a.Role, Application: &a.Application, Locale: &a.Locale, State: &a.State})
		return err
	})
}

func (v *visit) setPassword() error {
	return v.onAccount(func(id string) error {
		password := v.r.PostForm.Get("password")
		_, err := v.Platform.ChangeAccount(v.r.Context(), id, platform.AccountChange{Password: &password})
		return err
	})
}

// onAccount changes the account that the path names, and goes back to its page.
func (v *visit) onAccount(change func(id string) error) error {
	p, err := v.account()
	if err != nil {
		return err
	}
	if err := change(p.Form.ID); err != nil {
		return v.showWrong(err, "account", p.Form.Name, v.accountCrumbs(), p)
	}
	return v.leave(root+"/accounts/"+p.Form.ID, "saved")
}

// mePage is what me.html shows.
type mePage struct {
	Application string
	HasPassword bool // an account has; whoever came with the admin token or a key has not
}

func (v *visit) mePage() mePage {
	return mePage{Application: v.me.Application, HasPassword: v.me.Account != "" && v.me.Account != tidings.RootAccount && v.me.KeyID == ""}
}

func (v *visit) getMe() error { return v.show("me", v.t("me"), nil, v.mePage()) }

// setOwnPassword asks for the old password: whoever finds a browser open must not take the account over.
func (v *visit) setOwnPassword() error {
	p := v.mePage()
	if !p.HasPassword {
		return tidings.Errorf(tidings.Forbidden, "there is no account whose password could be changed")
	}
	password := v.r.PostForm.Get("password")
	_, err := v.Platform.ChangeOwnAccount(v.r.Context(), v.me.Account, v.r.PostForm.Get("old"), platform.AccountChange{Password: &password})
	if err != nil {
		return v.showWrong(err, "me", v.t("me"), nil, p)
	}
	return v.leave(root+"/sign-in", "") // the change has ended all sessions
}

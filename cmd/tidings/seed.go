package main

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/console"
	"tidings/sql"
)

const demoApplication = "demo"

var demoMerchants = []tidings.Merchant{{ID: "acme", Name: "Acme 百货"}}

var demoStores = []tidings.Store{
	{ID: "acme-bj", Merchant: "acme", Name: "Acme 北京店", Region: "北京"},
	{ID: "acme-sh", Merchant: "acme", Name: "Acme 上海店", Region: "上海"},
}

// demoPeople are the demo's users with their addresses. The numbers are of no one: 100 is no mobile prefix in China.
var demoPeople = []struct {
	tidings.User
	phone, device string
}{
	{tidings.User{ID: "lin", Name: "林悦 · Acme owner", Locale: "zh-CN", Memberships: []tidings.Membership{{Merchant: "acme", Role: "owner"}, {Store: "acme-bj", Role: "manager"}}},
		"+8610000000001", "3456789012345678901"},
	{tidings.User{ID: "chen", Name: "陈晓 · 上海店 clerk", Locale: "zh-CN", Memberships: []tidings.Membership{{Store: "acme-sh", Role: "clerk"}}},
		"+8610000000002", "3456789012345678902"},
	{tidings.User{ID: "smith", Name: "Ann Smith · 上海店 manager", Locale: "en-US", Memberships: []tidings.Membership{{Store: "acme-sh", Role: "manager"}}},
		"+8610000000003", "3456789012345678903"},
}

func demoUsers() []console.DemoUser {
	users := make([]console.DemoUser, len(demoPeople))
	for i, p := range demoPeople {
		users[i] = console.DemoUser{ID: p.ID, Name: p.Name}
	}
	return users
}

func text(name, example string) tidings.Variable {
	return tidings.Variable{Name: name, Type: tidings.VariableString, Required: true, Example: json.RawMessage(strconv.Quote(example))}
}

var demoTypes = []tidings.MessageType{
	{Application: demoApplication, Name: "order.refund_requested", Title: "退款申请 Refunds", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web, tidings.App, tidings.SMS},
		Variables: []tidings.Variable{text("order", "A-1001"), text("amount", "128.00"), {Name: "reason", Type: tidings.VariableString, Example: json.RawMessage(`"尺码不合适"`)}}},
	{Application: demoApplication, Name: "code.login", Title: "登录验证码 Sign-in codes", Mandatory: []tidings.Channel{tidings.SMS}, Lane: tidings.Critical, Channels: []tidings.Channel{tidings.SMS}, TTL: 300,
		Variables: []tidings.Variable{text("code", "4711")}},
	{Application: demoApplication, Name: "notice.upgrade", Title: "系统公告 Notices", Lane: tidings.Bulk, Channels: []tidings.Channel{tidings.Web},
		Variables: []tidings.Variable{text("from", "23:00"), text("to", "23:30")}},
}

// demoContents are the demo's templates, by type, channel and locale.
var demoContents = []tidings.Template{
	{Type: "order.refund_requested", Channel: tidings.Web, Locale: "zh-CN", Title: "订单 {{ order }} 申请退款",
		Body: "金额 {{ amount }} 元{% if reason %}，原因：{{ reason }}{% endif %}。请在 48 小时内处理。", URL: "https://shop.example/orders/{{ order | url_encode }}"},
	{Type: "order.refund_requested", Channel: tidings.Web, Locale: "en-US", Title: "Refund requested for order {{ order }}",
		Body: "Amount: CNY {{ amount }}{% if reason %}. Reason: {{ reason }}{% endif %}. Please answer within 48 hours.", URL: "https://shop.example/orders/{{ order | url_encode }}"},
	{Type: "order.refund_requested", Channel: tidings.App, Locale: "zh-CN", Title: "退款申请", Body: "订单 {{ order }}，金额 {{ amount }} 元"},
	{Type: "order.refund_requested", Channel: tidings.App, Locale: "en-US", Title: "Refund requested", Body: "Order {{ order }}, CNY {{ amount }}"},
	{Type: "order.refund_requested", Channel: tidings.SMS, Locale: "zh-CN", Body: "【Acme】订单 {{ order }} 申请退款 {{ amount }} 元，请及时处理。"},
	{Type: "order.refund_requested", Channel: tidings.SMS, Locale: "en-US", Body: "[Acme] Refund of CNY {{ amount }} requested for order {{ order }}."},
	{Type: "code.login", Channel: tidings.SMS, Locale: "zh-CN", Body: "【Acme】您的登录验证码是 {{ code }}，5 分钟内有效，请勿告诉他人。"},
	{Type: "code.login", Channel: tidings.SMS, Locale: "en-US", Body: "[Acme] Your sign-in code is {{ code }}. It is valid for 5 minutes."},
	{Type: "notice.upgrade", Channel: tidings.Web, Locale: "zh-CN", Title: "系统维护通知", Body: "今晚 {{ from }} 至 {{ to }} 系统升级，期间可能短暂无法下单。"},
	{Type: "notice.upgrade", Channel: tidings.Web, Locale: "en-US", Title: "Maintenance tonight", Body: "The system is upgraded between {{ from }} and {{ to }}. Orders may pause for a moment."},
}

// demoSeed fills the stores with the demo. It may be run again: what is there stays.
type demoSeed struct {
	db         *sql.DB
	tokens     *auth.Tokens
	data       string // where demo.env goes
	url, comet string
	adminToken string
}

func seedDemo(ctx context.Context, s demoSeed) error {
	for _, step := range []func(context.Context) error{s.application, s.directory, s.types, s.templates} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.env(ctx)
}

func (s demoSeed) application(ctx context.Context) error {
	// The origins let the page use a comet on another port; where all is on one port it needs none.
	err := s.db.CreateApplication(ctx, tidings.Application{ID: demoApplication, Name: "Demo", Owner: "you",
		State: tidings.ApplicationActive, Origins: []string{"http://127.0.0.1:8080", "http://localhost:8080"}})
	if tidings.CodeOf(err) == tidings.Conflict {
		return nil
	}
	return err
}

func (s demoSeed) directory(ctx context.Context) error {
	if err := s.db.PutMerchants(ctx, demoMerchants); err != nil {
		return err
	}
	if err := s.db.PutStores(ctx, demoStores); err != nil {
		return err
	}
	users := make([]tidings.User, len(demoPeople))
	for i, p := range demoPeople {
		users[i] = p.User
	}
	if err := s.db.PutUsers(ctx, users); err != nil {
		return err
	}
	for _, p := range demoPeople {
		if err := s.db.PutAddresses(ctx, p.ID, tidings.UserAddresses(map[string]string{"sms": p.phone, "app": p.device})); err != nil {
			return err
		}
	}
	return nil
}

func (s demoSeed) types(ctx context.Context) error {
	for _, t := range demoTypes {
		_, err := s.db.Type(ctx, demoApplication, t.Name)
		if tidings.CodeOf(err) == tidings.NotFound { // what somebody made of it in the console stays
			err = s.db.PutType(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// templates publishes those of which no version is in force.
func (s demoSeed) templates(ctx context.Context) error {
	type place struct {
		typ, locale string
		channel     tidings.Channel
	}
	there := map[place]bool{}
	for _, t := range demoTypes {
		published, err := s.db.PublishedTemplates(ctx, demoApplication, t.Name)
		if err != nil {
			return err
		}
		for _, p := range published {
			there[place{p.Type, p.Locale, p.Channel}] = true
		}
	}
	for _, t := range demoContents {
		if there[place{t.Type, t.Locale, t.Channel}] {
			continue
		}
		t.Application, t.State = demoApplication, tidings.TemplateDraft
		made, err := s.db.CreateTemplate(ctx, t)
		if err != nil {
			return err
		}
		if _, err := s.db.PublishTemplate(ctx, demoApplication, t.Type, t.Channel, t.Locale, made.Version); err != nil {
			return err
		}
	}
	return nil
}

// env writes demo.env: with the key of the last time, when that still opens, and a new token, which lives an hour.
func (s demoSeed) env(ctx context.Context) error {
	key := readDemoEnv(s.data)["TIDINGS_KEY"]
	if _, err := auth.New(s.db, s.tokens, "", time.Now).Bearer(ctx, key); err != nil {
		if key, err = s.key(ctx); err != nil {
			return err
		}
	}
	user := demoPeople[0].ID
	token, _, err := s.tokens.Mint(auth.Claims{Application: demoApplication, User: user})
	if err != nil {
		return err
	}
	example := demoBody("refund", user, "zh-CN")
	example.Channels = []tidings.Channel{tidings.Web}
	body, err := json.Marshal(example)
	if err != nil {
		return err
	}
	env := demoEnv{"TIDINGS_URL": s.url, "TIDINGS_KEY": key, "TIDINGS_USER": user, "TIDINGS_TOKEN": token, "TIDINGS_TYPE": example.Type,
		"TIDINGS_MERCHANT": demoMerchants[0].ID, "TIDINGS_STORE": demoStores[0].ID, "TIDINGS_EXAMPLE": string(body), "TIDINGS_ADMIN_TOKEN": s.adminToken}
	if s.comet != "" {
		env["TIDINGS_COMET_URL"] = s.comet
	}
	return env.write(s.data)
}

func (s demoSeed) key(ctx context.Context) (string, error) {
	k, whole := auth.NewKey(tidings.ApplicationKey)
	k.Application, k.Name, k.CreatedAt = demoApplication, "demo", time.Now()
	k.Scopes = []string{tidings.ScopeSend, tidings.ScopeReadMessages, tidings.ScopeTemplates, tidings.ScopeTokensMint, tidings.ScopeDirectoryWrite}
	err := s.db.CreateKey(ctx, k)
	if tidings.CodeOf(err) != tidings.Conflict {
		return whole, err
	}
	// An application has two keys at most, and nobody knows those of earlier times any more.
	keys, err := s.db.Keys(ctx, demoApplication)
	if err != nil {
		return "", err
	}
	for _, old := range keys {
		if old.Name == k.Name && old.RevokedAt.IsZero() {
			if err := s.db.RevokeKey(ctx, demoApplication, old.ID); err != nil {
				return "", err
			}
		}
	}
	return whole, s.db.CreateKey(ctx, k)
}

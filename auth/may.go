package auth

import (
	"slices"

	"tidings"
)

// Action is what a person wants to do. The API's routes and the console's pages name one each, so that both let in the same.
type Action string

// The actions.
const (
	ReadApplication   Action = "application.read" // an application with its types, templates, messages, usage
	ApplyApplication  Action = "application.apply"
	CreateApplication Action = "application.create"
	DecideApplication Action = "application.decide"
	HaltApplication   Action = "application.suspend"
	ReadKeys          Action = "key.read"
	WriteKeys         Action = "key.write"
	ReadEndpoints     Action = "endpoint.read"
	WriteEndpoints    Action = "endpoint.write" // create, change, rotate, test, replay
	WriteTypes        Action = "type.write"
	WriteTemplates    Action = "template.write" // create, submit, publish what is approved, roll back
	ReviewTemplates   Action = "template.review"
	DiscardTemplates  Action = "template.discard"
	SendMessages      Action = "message.send"
	CancelMessages    Action = "message.cancel"
	SteerBroadcasts   Action = "broadcast.steer" // create, pause, resume, cancel, slow down
	ReplayDeliveries  Action = "replay.create"   // also cancel
	WriteQuotas       Action = "quota.write"
	ReadDirectory     Action = "directory.read"
	WriteDirectory    Action = "directory.write"
	ReadHistory       Action = "history.read" // of merchants and stores
	WriteHistory      Action = "history.write"
	MintTokens        Action = "token.mint"
	ReadInstallation  Action = "installation.read" // queues, balance, health
	RunInstallation   Action = "installation.run"
	WriteIntegrations Action = "integration.write"
	ReadAudit         Action = "audit.read"
	ManageAccounts    Action = "account.write"
	OwnAccount        Action = "account.own" // one's own name, language, password, keys
)

// Roles says who may do what. It is the only such table.
var Roles = map[Action][]tidings.Role{
	ReadApplication:   tidings.Roles,
	ApplyApplication:  tidings.Roles,
	CreateApplication: {tidings.RoleAdmin},
	DecideApplication: {tidings.RoleAdmin, tidings.RoleApprover},
	HaltApplication:   {tidings.RoleAdmin, tidings.RoleOperator},
	ReadKeys:          {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleApprover, tidings.RoleDeveloper},
	WriteKeys:         {tidings.RoleAdmin, tidings.RoleDeveloper},
	ReadEndpoints:     {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleApprover, tidings.RoleDeveloper},
	WriteEndpoints:    {tidings.RoleAdmin, tidings.RoleDeveloper},
	WriteTypes:        {tidings.RoleAdmin, tidings.RoleDeveloper},
	WriteTemplates:    {tidings.RoleAdmin, tidings.RoleDeveloper},
	ReviewTemplates:   {tidings.RoleAdmin, tidings.RoleApprover},
	DiscardTemplates:  {tidings.RoleAdmin, tidings.RoleOperator},
	SendMessages:      {tidings.RoleAdmin, tidings.RoleDeveloper},
	CancelMessages:    {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleDeveloper},
	SteerBroadcasts:   {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleDeveloper},
	ReplayDeliveries:  {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleDeveloper},
	WriteQuotas:       {tidings.RoleAdmin},
	ReadDirectory:     {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleApprover, tidings.RoleViewer},
	WriteDirectory:    {tidings.RoleAdmin},
	ReadHistory:       {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleApprover, tidings.RoleViewer},
	WriteHistory:      {tidings.RoleAdmin},
	MintTokens:        {tidings.RoleAdmin},
	ReadInstallation:  {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleApprover, tidings.RoleViewer},
	RunInstallation:   {tidings.RoleAdmin, tidings.RoleOperator},
	WriteIntegrations: {tidings.RoleAdmin},
	ReadAudit:         {tidings.RoleAdmin, tidings.RoleOperator, tidings.RoleApprover, tidings.RoleViewer},
	ManageAccounts:    {tidings.RoleAdmin},
	OwnAccount:        tidings.Roles,
}

// shared are the actions about what belongs to no application: closed to those who belong to one.
var shared = []Action{CreateApplication, DecideApplication, HaltApplication, WriteQuotas, ReadDirectory, WriteDirectory, ReadHistory,
	WriteHistory, MintTokens, ReadInstallation, RunInstallation, WriteIntegrations, ReadAudit, ManageAccounts}

// Bound tells whether the person sees and touches one application only.
func (p Principal) Bound() bool {
	return p.Kind == Admin && (p.Role == tidings.RoleDeveloper || p.Application != "")
}

// May tells whether a person may do something, with application if it is about one: Forbidden when his role may not,
// NotFound when the application is another than his.
func May(p Principal, act Action, application string) error {
	switch {
	case p.Kind != Admin || !slices.Contains(Roles[act], p.Role):
		return tidings.Errorf(tidings.Forbidden, "your role (%s) may not do this", p.Role)
	case !p.Bound():
		return nil
	case slices.Contains(shared, act):
		return tidings.Errorf(tidings.Forbidden, "your account belongs to one application, and this does not")
	case act == ApplyApplication || act == OwnAccount:
		return nil
	case p.Application == "":
		return tidings.Errorf(tidings.Forbidden, "your account belongs to no application yet: apply for one")
	case application != "" && application != p.Application:
		return tidings.Errorf(tidings.NotFound, "there is no application %s", application)
	}
	return nil
}

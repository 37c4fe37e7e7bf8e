package api

import (
	"slices"

	"tidings"
	"tidings/auth"
)

var public = Access{Public: true}

// application lets in keys of applications that have scope, and people who may do act.
func application(scope string, act auth.Action) Access {
	return Access{Kinds: []auth.Kind{auth.Application, auth.Admin}, Scope: scope, Action: act}
}

// merchant lets in keys of merchants' systems that have scope, and people who may do act.
func merchant(scope string, act auth.Action) Access {
	return Access{Kinds: []auth.Kind{auth.Merchant, auth.Admin}, Scope: scope, Action: act}
}

// people lets in those whose role may do act.
func people(act auth.Action) Access {
	return Access{Kinds: []auth.Kind{auth.Admin}, Action: act}
}

var user = Access{Kinds: []auth.Kind{auth.User}}

// routes is the whole of the API: a route that is not here does not exist, and one without an Access lets nobody in.
func (a *API) routes() []Route {
	return slices.Concat(a.messageRoutes(), a.broadcastRoutes(), a.replayRoutes(), a.directoryRoutes(), a.platformRoutes(), a.integrationRoutes(), a.endpointRoutes(), []Route{
		{"GET", "/v1/receipts/{provider}", public, a.receive}, // signed
		{"POST", "/v1/receipts/{provider}", public, a.receive},
		{"GET", "/v1/receipts/{provider}/{integration}", public, a.receiveAll}, // likewise
		{"POST", "/v1/receipts/{provider}/{integration}", public, a.receiveAll},

		{"GET", "/v1/presence", people(auth.ReadInstallation), a.getPresence},
		{"GET", "/v1/presence/{user}", people(auth.ReadInstallation), a.getListeners},
		{"GET", "/v1/balance", people(auth.ReadInstallation), a.getBalance},
		{"GET", "/openapi.yaml", public, a.getOpenAPI},
		{"GET", "/healthz", public, a.getHealth},
		{"GET", "/readyz", public, a.getReady},
	})
}

func (a *API) messageRoutes() []Route {
	const (
		send, read, mint = tidings.ScopeSend, tidings.ScopeReadMessages, tidings.ScopeTokensMint
		history, mark    = tidings.ScopeHistoryRead, tidings.ScopeInboxWrite
	)
	return []Route{
		{"POST", "/v1/messages", application(send, auth.SendMessages), a.postMessage},
		{"POST", "/v1/messages/batch", application(send, auth.SendMessages), a.postBatch},
		{"POST", "/v1/messages:preview", application(send, auth.SendMessages), a.previewMessage},
		{"POST", "/v1/messages:cancel", application(send, auth.CancelMessages), a.cancelByKey},
		{"GET", "/v1/messages", application(read, auth.ReadApplication), a.getMessages},
		{"GET", "/v1/messages/{id}", application(read, auth.ReadApplication), a.getMessage},
		{"GET", "/v1/messages/{id}/deliveries", application(read, auth.ReadApplication), a.getDeliveries},
		{"DELETE", "/v1/messages/{id}", application(send, auth.CancelMessages), a.cancelMessage},
		{"DELETE", "/v1/messages/{id}/deliveries/{user}/{channel}", application(send, auth.CancelMessages), a.cancelDelivery},

		{"GET", "/v1/inbox", user, a.getInbox},
		{"GET", "/v1/inbox/unread", user, a.getUnread},
		{"POST", "/v1/inbox/seen", user, a.markInbox(tidings.MarkSeen)},
		{"POST", "/v1/inbox/read", user, a.markInbox(tidings.MarkRead)},
		{"POST", "/v1/inbox/archive", user, a.markInbox(tidings.MarkArchive)},
		{"GET", "/v1/preferences", user, a.getOwnPreferences},
		{"PUT", "/v1/preferences", user, a.putOwnPreferences},
		{"POST", "/v1/tokens", application(mint, auth.MintTokens), a.postToken},

		{"GET", "/v1/merchants/{id}/messages", merchant(history, auth.ReadHistory), a.getHistory(tidings.ViaMerchant)},
		{"POST", "/v1/merchants/{id}/messages/seen", merchant(mark, auth.WriteHistory), a.markHistory(tidings.ViaMerchant, tidings.MarkSeen)},
		{"POST", "/v1/merchants/{id}/messages/read", merchant(mark, auth.WriteHistory), a.markHistory(tidings.ViaMerchant, tidings.MarkRead)},
		{"POST", "/v1/merchants/{id}/messages/archive", merchant(mark, auth.WriteHistory), a.markHistory(tidings.ViaMerchant, tidings.MarkArchive)},
		{"GET", "/v1/stores/{id}/messages", merchant(history, auth.ReadHistory), a.getHistory(tidings.ViaStore)},
		{"POST", "/v1/stores/{id}/messages/seen", merchant(mark, auth.WriteHistory), a.markHistory(tidings.ViaStore, tidings.MarkSeen)},
		{"POST", "/v1/stores/{id}/messages/read", merchant(mark, auth.WriteHistory), a.markHistory(tidings.ViaStore, tidings.MarkRead)},
		{"POST", "/v1/stores/{id}/messages/archive", merchant(mark, auth.WriteHistory), a.markHistory(tidings.ViaStore, tidings.MarkArchive)},
	}
}

func (a *API) directoryRoutes() []Route {
	const directory = tidings.ScopeDirectoryWrite
	return []Route{
		{"GET", "/v1/merchants", application(directory, auth.ReadDirectory), a.getMerchants},
		{"PUT", "/v1/merchants/{id}", application(directory, auth.WriteDirectory), a.putMerchant},
		{"GET", "/v1/merchants/{id}", application(directory, auth.ReadDirectory), a.getMerchant},
		{"DELETE", "/v1/merchants/{id}", application(directory, auth.WriteDirectory), a.deleteMerchant},
		{"GET", "/v1/stores", application(directory, auth.ReadDirectory), a.getStores},
		{"PUT", "/v1/stores/{id}", application(directory, auth.WriteDirectory), a.putStore},
		{"GET", "/v1/stores/{id}", application(directory, auth.ReadDirectory), a.getStore},
		{"DELETE", "/v1/stores/{id}", application(directory, auth.WriteDirectory), a.deleteStore},
		{"GET", "/v1/users", application(directory, auth.ReadDirectory), a.getUsers},
		{"PUT", "/v1/users/{id}", application(directory, auth.WriteDirectory), a.putUser},
		{"GET", "/v1/users/{id}", application(directory, auth.ReadDirectory), a.getUser},
		{"DELETE", "/v1/users/{id}", application(directory, auth.WriteDirectory), a.deleteUser},
		{"PUT", "/v1/users/{id}/addresses", application(directory, auth.WriteDirectory), a.putAddresses},
		{"GET", "/v1/users/{id}/preferences", application(directory, auth.ReadDirectory), a.getPreferences},
		{"PUT", "/v1/users/{id}/preferences", application(directory, auth.WriteDirectory), a.putPreferences},
		{"POST", "/v1/directory/import", application(directory, auth.WriteDirectory), a.importDirectory},
	}
}

func (a *API) platformRoutes() []Route {
	const templates = tidings.ScopeTemplates
	return []Route{
		{"POST", "/v1/applications", people(auth.CreateApplication), a.postApplication},
		{"POST", "/v1/applications:apply", people(auth.ApplyApplication), a.applyApplication},
		{"GET", "/v1/applications", people(auth.OwnAccount), a.getApplications},              // bound people: their own
		{"GET", "/v1/applications/{id}", application("", auth.OwnAccount), a.getApplication}, // likewise
		{"PUT", "/v1/applications/{id}", people(auth.CreateApplication), a.putApplication},
		{"POST", "/v1/applications/{id}/approve", people(auth.DecideApplication), a.decide(true)}, // not by who applied
		{"POST", "/v1/applications/{id}/reject", people(auth.DecideApplication), a.decide(false)}, // likewise
		{"POST", "/v1/applications/{id}/suspend", people(auth.HaltApplication), a.setState(tidings.ApplicationSuspended)},
		{"POST", "/v1/applications/{id}/resume", people(auth.HaltApplication), a.setState(tidings.ApplicationActive)},
		{"GET", "/v1/applications/{id}/usage", application("", auth.ReadApplication), a.getUsage},
		{"GET", "/v1/quotas/{id}", people(auth.ReadInstallation), a.getQuota},
		{"PUT", "/v1/quotas/{id}", people(auth.WriteQuotas), a.putQuota},
		{"POST", "/v1/applications/{id}/keys", people(auth.WriteKeys), a.postApplicationKey},
		{"GET", "/v1/applications/{id}/keys", people(auth.ReadKeys), a.getApplicationKeys},
		{"DELETE", "/v1/applications/{id}/keys/{key}", people(auth.WriteKeys), a.deleteApplicationKey},
		{"POST", "/v1/keys", people(auth.ManageAccounts), a.postKey},
		{"GET", "/v1/keys", people(auth.ReadInstallation), a.getKeys},
		{"DELETE", "/v1/keys/{key}", people(auth.ManageAccounts), a.deleteKey},

		{"POST", "/v1/accounts", people(auth.ManageAccounts), a.postAccount},
		{"GET", "/v1/accounts", people(auth.ReadInstallation), a.getAccounts},
		{"GET", "/v1/accounts/{id}", people(auth.ReadInstallation), a.getAccount},
		{"PUT", "/v1/accounts/{id}", people(auth.ManageAccounts), a.putAccount},
		{"GET", "/v1/account", people(auth.OwnAccount), a.getOwnAccount},
		{"PUT", "/v1/account", people(auth.OwnAccount), a.putOwnAccount},
		{"POST", "/v1/account/keys", people(auth.OwnAccount), a.postOwnKey},
		{"GET", "/v1/account/keys", people(auth.OwnAccount), a.getOwnKeys},
		{"DELETE", "/v1/account/keys/{key}", people(auth.OwnAccount), a.deleteOwnKey},
		{"GET", "/v1/audit", people(auth.ReadAudit), a.getAudit},
		{"GET", "/v1/audit/verify", people(auth.ReadAudit), a.verifyAudit},

		{"GET", "/v1/types", application("", auth.ReadApplication), a.getTypes},
		{"PUT", "/v1/types/{name}", application(templates, auth.WriteTypes), a.putType},
		{"GET", "/v1/types/{name}", application("", auth.ReadApplication), a.getType},
		{"GET", "/v1/templates", application("", auth.ReadApplication), a.getTemplates},
		{"POST", "/v1/templates", application(templates, auth.WriteTemplates), a.postTemplate},
		{"GET", "/v1/templates/submitted", people(auth.ReadApplication), a.getSubmitted},
		{"GET", "/v1/templates/report", application(templates, auth.ReadApplication), a.getReport},
		{"POST", "/v1/templates/submit", application(templates, auth.WriteTemplates), a.submitTemplate},
		{"POST", "/v1/templates/approve", people(auth.ReviewTemplates), a.review(true)}, // not by the author
		{"POST", "/v1/templates/reject", people(auth.ReviewTemplates), a.review(false)}, // likewise
		{"POST", "/v1/templates/publish", application(templates, auth.WriteTemplates), a.publishTemplate},
		{"POST", "/v1/templates/rollback", application(templates, auth.WriteTemplates), a.rollbackTemplate},
		{"POST", "/v1/templates/discard", people(auth.DiscardTemplates), a.discardTemplate},
	}
}

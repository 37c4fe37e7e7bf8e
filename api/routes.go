package api

import (
	"tidings"
	"tidings/auth"
)

var public = Access{Public: true}

// application lets in keys of applications that have scope, and admins.
func application(scope string) Access {
	return Access{Kinds: []auth.Kind{auth.Application, auth.Admin}, Scope: scope}
}

// merchant lets in keys of merchants' systems that have scope, and admins.
func merchant(scope string) Access {
	return Access{Kinds: []auth.Kind{auth.Merchant, auth.Admin}, Scope: scope}
}

var (
	user  = Access{Kinds: []auth.Kind{auth.User}}
	admin = Access{Kinds: []auth.Kind{auth.Admin}} // operators: GET only
)

// routes is the whole of the API: a route that is not here does not exist, and one without an Access lets nobody in.
func (a *API) routes() []Route {
	const (
		send, read, templates = tidings.ScopeSend, tidings.ScopeReadMessages, tidings.ScopeTemplates
		directory, mint       = tidings.ScopeDirectoryWrite, tidings.ScopeTokensMint
		history, mark         = tidings.ScopeHistoryRead, tidings.ScopeInboxWrite
	)
	return []Route{
		{"POST", "/v1/messages", application(send), a.postMessage},
		{"POST", "/v1/messages/batch", application(send), a.postBatch},
		{"POST", "/v1/messages:cancel", application(send), a.cancelByKey},
		{"GET", "/v1/messages", application(read), a.getMessages},
		{"GET", "/v1/messages/{id}", application(read), a.getMessage},
		{"GET", "/v1/messages/{id}/deliveries", application(read), a.getDeliveries},
		{"DELETE", "/v1/messages/{id}", application(send), a.cancelMessage},

		{"GET", "/v1/inbox", user, a.getInbox},
		{"GET", "/v1/inbox/unread", user, a.getUnread},
		{"POST", "/v1/inbox/seen", user, a.markInbox(tidings.MarkSeen)},
		{"POST", "/v1/inbox/read", user, a.markInbox(tidings.MarkRead)},
		{"POST", "/v1/inbox/archive", user, a.markInbox(tidings.MarkArchive)},
		{"POST", "/v1/tokens", application(mint), a.postToken},

		{"GET", "/v1/merchants/{id}/messages", merchant(history), a.getHistory(tidings.ViaMerchant)},
		{"POST", "/v1/merchants/{id}/messages/seen", merchant(mark), a.markHistory(tidings.ViaMerchant, tidings.MarkSeen)},
		{"POST", "/v1/merchants/{id}/messages/read", merchant(mark), a.markHistory(tidings.ViaMerchant, tidings.MarkRead)},
		{"POST", "/v1/merchants/{id}/messages/archive", merchant(mark), a.markHistory(tidings.ViaMerchant, tidings.MarkArchive)},
		{"GET", "/v1/stores/{id}/messages", merchant(history), a.getHistory(tidings.ViaStore)},
		{"POST", "/v1/stores/{id}/messages/seen", merchant(mark), a.markHistory(tidings.ViaStore, tidings.MarkSeen)},
		{"POST", "/v1/stores/{id}/messages/read", merchant(mark), a.markHistory(tidings.ViaStore, tidings.MarkRead)},
		{"POST", "/v1/stores/{id}/messages/archive", merchant(mark), a.markHistory(tidings.ViaStore, tidings.MarkArchive)},

		{"GET", "/v1/merchants", application(directory), a.getMerchants},
		{"PUT", "/v1/merchants/{id}", application(directory), a.putMerchant},
		{"GET", "/v1/merchants/{id}", application(directory), a.getMerchant},
		{"DELETE", "/v1/merchants/{id}", application(directory), a.deleteMerchant},
		{"GET", "/v1/stores", application(directory), a.getStores},
		{"PUT", "/v1/stores/{id}", application(directory), a.putStore},
		{"GET", "/v1/stores/{id}", application(directory), a.getStore},
		{"DELETE", "/v1/stores/{id}", application(directory), a.deleteStore},
		{"GET", "/v1/users", application(directory), a.getUsers},
		{"PUT", "/v1/users/{id}", application(directory), a.putUser},
		{"GET", "/v1/users/{id}", application(directory), a.getUser},
		{"DELETE", "/v1/users/{id}", application(directory), a.deleteUser},
		{"PUT", "/v1/users/{id}/addresses", application(directory), a.putAddresses},
		{"POST", "/v1/directory/import", application(directory), a.importDirectory},

		{"POST", "/v1/applications", admin, a.postApplication},
		{"GET", "/v1/applications", admin, a.getApplications},
		{"GET", "/v1/applications/{id}", application(""), a.getApplication},
		{"POST", "/v1/applications/{id}/suspend", admin, a.setState(tidings.ApplicationSuspended)},
		{"POST", "/v1/applications/{id}/resume", admin, a.setState(tidings.ApplicationActive)},
		{"POST", "/v1/applications/{id}/keys", admin, a.postApplicationKey},
		{"GET", "/v1/applications/{id}/keys", admin, a.getApplicationKeys},
		{"DELETE", "/v1/applications/{id}/keys/{key}", admin, a.deleteApplicationKey},
		{"POST", "/v1/keys", admin, a.postKey},
		{"GET", "/v1/keys", admin, a.getKeys},
		{"DELETE", "/v1/keys/{key}", admin, a.deleteKey},

		{"GET", "/v1/types", application(""), a.getTypes},
		{"PUT", "/v1/types/{name}", application(templates), a.putType},
		{"GET", "/v1/types/{name}", application(""), a.getType},
		{"GET", "/v1/templates", application(""), a.getTemplates},
		{"POST", "/v1/templates", application(templates), a.postTemplate},
		{"POST", "/v1/templates/publish", application(templates), a.publishTemplate},

		{"GET", "/v1/receipts/{provider}", public, a.receive}, // signed
		{"POST", "/v1/receipts/{provider}", public, a.receive},

		{"GET", "/v1/balance", admin, a.getBalance},
		{"GET", "/openapi.yaml", public, a.getOpenAPI},
		{"GET", "/healthz", public, a.getHealth},
		{"GET", "/readyz", public, a.getReady},
	}
}

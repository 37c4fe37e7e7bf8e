// Package kills proves the promise at the provider's hop: a worker is killed with SIGKILL between a provider's yes and our record of it,
// again and again, for every driver; then what each far side took is compared with what the record says. Nothing is sent again that its type
// does not allow, and what nobody knows is settled or stands there to be seen. See scripts/kills. It has no code of its own.
package kills

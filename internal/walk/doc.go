// Package walk proves the configuration platform from outside: the story of an application by API, by command line and in a
// browser; every route by everybody; and what people do who mean ill. It has no code of its own.
package walk

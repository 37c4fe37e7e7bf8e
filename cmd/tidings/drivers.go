package main

import (
	"tidings"
	"tidings/channels/fcm"
)

// drivers are the providers for which an integration can be configured.
var drivers = []tidings.Driver{
	fcm.Driver,
}

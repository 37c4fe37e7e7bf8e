package main

import (
	"tidings"
	"tidings/channels/apns"
	"tidings/channels/fcm"
	"tidings/channels/huawei"
	"tidings/channels/jpush"
)

// drivers are the providers for which an integration can be configured.
var drivers = []tidings.Driver{
	apns.Driver,
	fcm.Driver,
	huawei.Driver,
	jpush.Driver,
}

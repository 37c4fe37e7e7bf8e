package main

import (
	"tidings"
	"tidings/channels/apns"
	"tidings/channels/baidu"
	"tidings/channels/fcm"
	"tidings/channels/huawei"
	"tidings/channels/jpush"
	"tidings/channels/kannel"
)

// drivers are the providers for which an integration can be configured.
var drivers = []tidings.Driver{
	apns.Driver,
	baidu.Driver,
	fcm.Driver,
	huawei.Driver,
	jpush.Driver,
	kannel.Driver,
}

package main

import (
	"tidings"
	"tidings/channels/apns"
	"tidings/channels/baidu"
	"tidings/channels/dingtalk"
	"tidings/channels/fcm"
	"tidings/channels/feishu"
	"tidings/channels/huawei"
	"tidings/channels/jpush"
	"tidings/channels/kannel"
	"tidings/channels/webhook"
	"tidings/channels/wecom"
)

// drivers are the providers for which an integration can be configured.
var drivers = []tidings.Driver{
	apns.Driver,
	baidu.Driver,
	dingtalk.Driver,
	fcm.Driver,
	feishu.Driver,
	huawei.Driver,
	jpush.Driver,
	kannel.Driver,
	webhook.Driver,
	wecom.Driver,
}

package main

import (
	"tidings"
	"tidings/channels/aliyun"
	"tidings/channels/apns"
	"tidings/channels/baidu"
	"tidings/channels/dingtalk"
	"tidings/channels/email"
	"tidings/channels/fcm"
	"tidings/channels/feishu"
	"tidings/channels/httpsms"
	"tidings/channels/huawei"
	"tidings/channels/jpush"
	"tidings/channels/kannel"
	"tidings/channels/tencent"
	"tidings/channels/twilio"
	"tidings/channels/webhook"
	"tidings/channels/webpush"
	"tidings/channels/wecom"
)

// drivers are the providers for which an integration can be configured.
var drivers = []tidings.Driver{
	aliyun.Driver,
	apns.Driver,
	baidu.Driver,
	dingtalk.Driver,
	email.Driver,
	fcm.Driver,
	feishu.Driver,
	httpsms.Driver,
	huawei.Driver,
	jpush.Driver,
	kannel.Driver,
	tencent.Driver,
	twilio.Driver,
	webhook.Driver,
	webpush.Driver,
	wecom.Driver,
}

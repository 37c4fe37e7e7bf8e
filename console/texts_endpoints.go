package console

// endpointTexts are what the page of an application's endpoints says.
var endpointTexts = map[string]text{
	"endpoints": {"Endpoints", "回调端点"}, "endpoints.lead": {"They are told by signed webhooks what becomes of the application's deliveries.", "通过签名 Webhook 接收本应用投递状态与已读通知。"},
	"endpoints.none": {"No endpoints.", "暂无回调端点。"}, "endpoint.new": {"New endpoint", "新建端点"}, "endpoint.make": {"Make the endpoint", "创建端点"},
	"endpoint.made": {"The secret of the endpoint", "端点密钥"}, "endpoint.once": {"It is shown this once. With it the receiver checks the signatures.", "密钥仅显示这一次，接收方用它校验签名。"},
	"endpoint.reason": {"Why", "原因"}, "endpoint.url": {"URL", "URL"}, "endpoint.events": {"Told of", "订阅事件"}, "endpoint.change": {"Change", "修改"}, "endpoint.pending": {"Waiting", "待推送"}, "endpoint.failed": {"Given up", "已放弃"},
	"endpoint.succeeded": {"Last success", "最近成功"}, "endpoint.failing": {"Failing since", "持续失败自"}, "endpoint.next": {"Next call", "下次推送"}, "endpoint.error": {"Last error", "最近错误"},
	"endpoint.old-secret": {"The old secret signs until", "旧密钥有效至"}, "endpoint.test": {"Send a test event", "发送测试事件"}, "endpoint.rotate": {"New secret", "更换密钥"},
	"endpoint.rotate-ask": {"Make a new secret? The old one signs beside it for a day.", "确定更换密钥？旧密钥在一天内仍会同时签名。"}, "endpoint.enable": {"Enable", "启用"}, "endpoint.disable": {"Disable", "禁用"},
	"endpoint.delete": {"Remove", "移除"}, "endpoint.delete-ask": {"Remove this endpoint? What waits for it is not sent.", "确定移除该端点？待推送的事件将不再发送。"},
	"endpoint.replay": {"Send again what happened in the last hours", "重新推送最近若干小时内的事件"}, "endpoint.hours": {"Hours", "小时数"}, "endpoint.replay-failed": {"only what was given up", "仅已放弃的事件"}, "endpoint.again": {"Send again", "重新推送"},
	"endpoint.last": {"The last events", "最近事件"}, "endpoint.no-events": {"Nothing has happened yet.", "暂无事件。"}, "endpoint.event": {"Event", "事件"}, "endpoint.calls": {"Calls", "调用次数"}, "endpoint.when": {"When", "时间"}, "endpoint.about": {"Of", "对象"},
	"done.endpoint": {"Saved.", "已保存。"}, "done.tested": {"A test event is on its way; reload to see it.", "测试事件已发出，刷新可查看结果。"}, "done.replayed": {"They are sent again.", "已重新推送。"}, "done.removed": {"The endpoint is removed.", "端点已移除。"},
}

// eventWords name what an endpoint can be told of, endpointReasons why it is disabled.
var eventWords = map[string]text{
	"delivery.sent": {"sent", "已发送"}, "delivery.delivered": {"delivered", "已送达"}, "delivery.failed": {"failed", "失败"}, "delivery.unknown": {"outcome unknown", "结果未知"},
	"delivery.suppressed": {"kept back", "未发送"}, "delivery.expired": {"expired", "已过期"}, "delivery.canceled": {"canceled", "已取消"}, "notification.read": {"read", "已读"}, "message.ended": {"ended without an audience", "无收件人即结束"},
	"endpoint.disabled": {"another endpoint disabled", "其他端点被禁用"}, "endpoint.test": {"test", "测试"},
}

var endpointReasons = map[string]text{"by_hand": {"by hand", "人工禁用"}, "gone": {"it answered 410: it wants no more", "返回 410，不再接收"},
	"failing": {"nothing but failures for three days", "连续三天全部失败"}}

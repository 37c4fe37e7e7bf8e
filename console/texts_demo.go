package console

// demoTexts are the words of the demo page, by language.
var demoTexts = map[string]map[string]string{
	"en": {
		"title": "Messages", "language": "中文", "user": "You are", "send": "Send an example", "transport": "Connection",
		"refund": "Refund requested", "code": "Sign-in code (SMS)", "notice": "Notice of maintenance",
		"poll": "Long poll", "stream": "Stream", "events": "SSE", "ws": "WebSocket",
		"connecting": "Connecting…", "open": "Connected", "waiting": "Not connected, trying again…", "closed": "Disconnected",
		"now": "Arriving now", "nothing": "Nothing yet. Send an example, or use the curl line that the server printed.",
		"history": "History", "unread": "unread", "only_unread": "Unread only", "from": "Reached you through", "everywhere": "everywhere",
		"older": "Older", "read": "Mark read", "read_all": "Mark all read", "was_read": "Read", "empty": "No messages.",
		"sent": "Sent", "failed": "That did not work", "to_merchant": "merchant", "to_store": "store", "to_user": "you", "gone": "No longer visible to you",
		"reset": "The list was loaded anew.",
	},
	"zh": {
		"title": "消息", "language": "English", "user": "当前用户", "send": "发送示例", "transport": "连接方式",
		"refund": "退款申请", "code": "登录验证码（短信）", "notice": "维护通知",
		"poll": "长轮询", "stream": "流", "events": "SSE", "ws": "WebSocket",
		"connecting": "正在连接…", "open": "已连接", "waiting": "连接中断，正在重试…", "closed": "已断开",
		"now": "实时消息", "nothing": "暂无消息。可发送示例，或使用服务器打印的 curl 命令。",
		"history": "历史消息", "unread": "未读", "only_unread": "仅看未读", "from": "送达途径", "everywhere": "全部",
		"older": "更早", "read": "标为已读", "read_all": "全部标为已读", "was_read": "已读", "empty": "没有消息。",
		"sent": "已发送", "failed": "操作失败", "to_merchant": "商户", "to_store": "门店", "to_user": "本人", "gone": "您已无权查看",
		"reset": "列表已重新加载。",
	},
}

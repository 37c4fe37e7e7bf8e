package console

// preferenceTexts are what the pages say on which users choose what they want to be sent.
var preferenceTexts = map[string]text{
	"preferences": {"What you receive", "接收设置"}, "prefer.back": {"Messages", "返回消息"},
	"prefer.lead":  {"Choose on which channels each kind of message reaches you. What is muted stays in your history.", "选择各类消息通过哪些渠道通知您。已屏蔽的消息仍会保留在历史中。"},
	"prefer.types": {"Kinds of messages", "消息类型"}, "prefer.quiet": {"Your quiet hours", "您的免打扰时段"},
	"prefer.quiet-hint": {"What is not urgent waits until they end. Leave both times empty for none.", "非紧急消息将等到该时段结束后再发送。两个时间都留空表示不限制。"},
	"prefer.saved":      {"Saved.", "已保存。"}, "prefer.always": {"always on", "始终接收"}, "prefer.none": {"You have not received any messages yet.", "您尚未收到任何消息。"},
	"prefer.muted": {"muted", "已屏蔽"}, "prefer.on": {"on", "接收"}, "prefer.nothing": {"Nothing is muted.", "没有屏蔽任何消息。"},
	"prefer.other": {"Further rules of yours stay as they are.", "您的其他规则保持不变。"},
	"type.title":   {"What receivers call it", "接收者看到的名称"}, "type.title-hint": {"Shown where users choose what they want, and on unsubscribe pages.", "在用户的接收设置和退订页面上显示。"},
	"type.mandatory": {"Cannot be muted on", "不可屏蔽的渠道"}, "type.mandatory-hint": {"There it also goes out in the user's quiet hours and above caps.", "在这些渠道上也不受用户免打扰时段和频次上限限制。"},
	"caps": {"Caps for one user", "单个用户的频次上限"}, "caps.hint": {"Channel, number and time, apart by spaces: sms=3/24h. Critical and mandatory messages are exempt. Empty: none.", "渠道、数量和时长，以空格分隔，如 sms=3/24h。紧急和必要消息除外。留空表示不限。"},
	"type.dedup": {"Dedup window, minutes", "去重时长（分钟）"}, "type.dedup-hint": {"A second message that says the same is spared. Empty: none.", "时长内内容相同的第二条消息不再发送。留空表示不去重。"},
	"type.same": {"What is the same", "相同的依据"}, "type.same-hint": {"In Liquid over the variables. Empty: the message's collapse key.", "以 Liquid 书写，可使用变量。留空则使用消息的 collapse_key。"},
	"type.replace":  {"In the inbox, too, a newer message takes the place of an older one with its collapse key", "在消息中心内，较新的消息也取代 collapse_key 相同的旧消息"},
	"unsub.title":   {"Unsubscribe", "退订"},
	"unsub.ask":     {"No longer receive these messages?", "不再接收这类消息？"},
	"unsub.do":      {"Unsubscribe", "退订"},
	"unsub.muted":   {"You no longer receive these messages.", "您将不再收到这类消息。"},
	"unsub.undo":    {"Receive them again", "重新接收"},
	"unsub.on":      {"You receive these messages again.", "您已恢复接收这类消息。"},
	"unsub.must":    {"These messages are necessary and cannot be turned off.", "这类消息属于必要通知，无法退订。"},
	"unsub.invalid": {"This link is not valid.", "该链接无效。"},
	"unsub.wait":    {"Too many requests. Try again in a moment.", "请求过于频繁，请稍后再试。"},
	"unsub.from":    {"From", "来自"}, "unsub.by": {"Channel", "渠道"},
}

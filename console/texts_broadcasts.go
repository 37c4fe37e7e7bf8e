package console

// broadcastTexts are what the pages of broadcasts say.
var broadcastTexts = map[string]text{
	"done.paused": {"Paused. Within 2 seconds nothing more is sent.", "已暂停，2 秒内停止发送。"}, "done.going": {"It goes on where it stood.", "已从暂停处继续。"},
	"broadcast": {"Broadcast", "群发"}, "broadcasts.none": {"No broadcasts.", "暂无群发。"}, "broadcast.new": {"New broadcast", "新建群发"},
	"broadcast.lead":     {"A message to many that can be paused, slowed and canceled while it is on its way.", "发给众多收件人的消息，发送过程中可暂停、限速、取消。"},
	"broadcast.everyone": {"To every user", "发给全部用户"}, "broadcast.rate": {"Notifications a second", "每秒通知数"}, "broadcast.rate-hint": {"Empty: no limit.", "留空表示不限。"},
	"broadcast.no-limit": {"no limit", "不限"}, "broadcast.must-read": {"Must be read", "必读"},
	"broadcast.must-read-hint": {"Who has read it is counted by region, merchant and store.", "按地区、商户、门店统计阅读情况。"},
	"broadcast.remind":         {"Remind who has not read it", "提醒未读者"}, "broadcast.remind-hint": {"After these times, on all channels or some: 24h 48h=sms", "经过以下时间后提醒，可指定渠道，例如 24h 48h=sms"},
	"broadcast.zone": {"By your clock; empty: now.", "按本地时间；留空为立即发送。"}, "broadcast.expires-hint": {"Behind the last reminder; empty: as the type says.", "须晚于最后一次提醒；留空则按消息类型。"},
	"broadcast.ask": {"Send it to all of them?", "确定发送给所有收件人？"}, "broadcast.by": {"Made by", "发起人"}, "broadcast.progress": {"Progress", "进度"}, "broadcast.eta": {"Done about", "预计完成"},
	"broadcast.audience": {"Users", "用户数"}, "broadcast.about": {"about %s", "约 %s"}, "broadcast.stages": {"Notifications made, rendered, routed", "已生成、已渲染、已路由"},
	"broadcast.read": {"Have read it", "已读人数"}, "broadcast.reminders": {"Reminders", "提醒"}, "broadcast.reminder-of": {"Reminder of", "提醒自"}, "broadcast.to": {"To", "发送人数"},
	"broadcast.pause": {"Pause", "暂停"}, "broadcast.resume": {"Resume", "继续"}, "broadcast.cancel": {"Cancel", "取消"}, "broadcast.set-rate": {"Set the rate", "设置速率"},
	"broadcast.cancel-ask": {"End what is pending, with its reminders? What was sent stays sent.", "确定取消未发送的内容及其提醒？已发送的不受影响。"}, "broadcast.trace": {"Trace of its message", "查看投递轨迹"},
	"reads": {"Who has read it", "阅读情况"}, "reads.tree": {"Read rate by place", "按地区查看阅读率"}, "reads.share": {"Read", "已读"}, "reads.of": {"%s of %s", "%s / %s"}, "reads.none": {"Nobody yet.", "暂无人员。"},
	"proof": {"Signed proof", "签名凭证"}, "proof.hint": {"Each recipient with deliveries, seen and read; any change to the file shows.", "包含每位收件人的投递、查看与阅读记录，文件被改动即可察觉。"},
}

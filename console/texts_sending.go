package console

// sendingTexts are what the pages about messages and how they fare say, and those of the message centre.
var sendingTexts = map[string]text{
	"done.sent": {"Accepted. This page follows it.", "已受理，本页将持续更新。"}, "done.canceled": {"What was pending is canceled.", "未发送的内容已取消。"},
	"decisions": {"Why", "决策依据"}, "preview.cost": {"SMS parts", "短信条数"}, "preview.estimated": {"estimated", "估算"}, "preview.left": {"%d left this month", "本月剩余 %d"},
	"preview.for": {"for users: %d", "适用用户：%d"}, "preview.who": {"The first recipients", "前若干收件人"}, "preview.via": {"Through", "途径"},
	"preview.steps": {"Steps to others", "升级给其他人的步骤"}, "preview.steps-hint": {"They follow if it is not read by then. Whom they reach is resolved then.", "届时仍未读才会发送，收件人到时确定。"}, "step": {"Step", "步骤"}, "step.to": {"To", "发给"},
	"message": {"Message", "消息"}, "messages.none": {"No messages.", "暂无消息。"}, "messages.since": {"Since", "起始日期"}, "users": {"Users", "用户数"}, "deliveries": {"Deliveries", "投递"},
	"accepted": {"Accepted", "受理时间"}, "send-at": {"To be sent at", "计划发送"}, "expires-at": {"Expires", "有效期至"}, "audience": {"Audience", "收件人"}, "trace": {"Trace", "投递轨迹"}, "trace.none": {"No deliveries yet.", "暂无投递。"},
	"attempts": {"Attempts and receipts", "尝试与回执"}, "due": {"next look:", "下次处理："}, "parts": {"parts: %d", "%d 条"}, "cancel": {"Cancel what is pending", "取消未发送的内容"}, "cancel.ask": {"Cancel every delivery that is not sent yet?", "确定取消所有未发送的投递？"},
	"send": {"Send", "发送"}, "send.lead": {"A test message goes the real way: it reaches real users and counts against the limits.", "测试消息走真实通道：会送达真实用户并计入限额。"}, "send.nowhere": {"There is no active application to send for.", "没有可用于发送的启用应用。"},
	"send.users": {"Users", "用户"}, "send.stores": {"Stores", "门店"}, "send.merchants": {"Merchants", "商户"}, "send.ids-hint": {"IDs, apart by spaces.", "标识，以空格分隔。"}, "send.ask": {"Send it now?", "确定立即发送？"},
	"home.applications-wait": {"applications wait for a decision", "个应用待审批"}, "home.templates-wait": {"templates wait for review", "个模板待审核"}, "home.applications": {"applications: %s", "应用：%s"}, "home.paused": {"queues are paused", "个队列已暂停"},
	"home.begin": {"Begin here", "从这里开始"}, "home.begin-lead": {"Apply for access for your application. An approver decides.", "为您的应用申请接入，由审核人审批。"}, "home.applied": {"Your application waits for an approver.", "您的申请正在等待审批。"},
	"home.steps": {"Make a message type, write a template for each channel, submit it, publish what is approved, and send a test.", "创建消息类型，为各渠道编写模板，提交审核，发布通过的版本，然后测试发送。"},
	"home.open":  {"Open the application", "打开应用"}, "home.drafts": {"Templates to go on with", "待处理的模板"}, "home.last": {"Last messages", "最近消息"}, "home.all-messages": {"All messages", "全部消息"},
	"health.parts": {"Parts", "组成部分"}, "health.part": {"Part", "组件"}, "health.says": {"Detail", "详情"}, "health.balance": {"Balance", "对账"},
	"health.balance-lead": {"Every message, user and channel has exactly one delivery in exactly one state.", "每条消息、每个用户、每个渠道，对应且仅对应一条投递记录。"}, "health.open": {"Under way", "处理中"}, "health.overdue": {"Overdue", "超时未处理"}, "health.faults": {"What does not balance", "不平衡项"},
	"health.queues": {"Queues", "队列"}, "health.dashboard": {"Dashboard of the queues", "队列面板"}, "health.no-queues": {"Redis does not answer. Messages are accepted all the same and go on once it is back.", "Redis 无响应。消息仍会被受理，恢复后继续处理。"},
	"queue": {"Queue", "队列"}, "queues.none": {"All queues are empty.", "所有队列均为空。"}, "queue.pending": {"Pending", "等待"}, "queue.active": {"Active", "处理中"}, "queue.retry": {"Retry", "重试"}, "queue.processed": {"Done today", "今日完成"}, "queue.failed": {"Failed today", "今日失败"},
	"inbox.title": {"Messages", "消息中心"}, "inbox.messages": {"All messages", "全部消息"}, "inbox.from": {"Reached you through", "送达途径"}, "inbox.only-unread": {"Unread only", "仅看未读"}, "inbox.read-all": {"Mark all read", "全部标为已读"}, "inbox.empty": {"No messages.", "没有消息。"},
	"inbox.script": {"The message centre needs JavaScript.", "消息中心需要启用 JavaScript。"}, "inbox.connecting": {"Connecting…", "正在连接…"}, "inbox.open": {"Connected", "已连接"}, "inbox.waiting": {"Not connected, trying again…", "连接中断，正在重试…"}, "inbox.closed": {"Disconnected", "已断开"},
	"inbox.unread": {"unread", "条未读"}, "inbox.read": {"Mark read", "标为已读"}, "inbox.was-read": {"Read", "已读"}, "inbox.merchant": {"merchant", "商户"}, "inbox.store": {"store", "门店"}, "inbox.you": {"you", "本人"}, "inbox.failed": {"That did not work", "操作失败"},
	"inbox.no-token": {"Open this page from your shop's page: it brings your sign-in along.", "请从您的商户后台打开此页面，以便自动登录。"}, "inbox.ended": {"Your sign-in has ended. Open this page from your shop's page again.", "登录已过期，请从商户后台重新打开。"},
	"inbox.reset": {"The list was loaded anew.", "列表已重新加载。"}, "inbox.new": {"New", "新消息"},
}

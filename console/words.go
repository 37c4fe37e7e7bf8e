package console

// words are the names of the closed lists, by list and word.
var words = map[string]map[string]text{
	"left-out": leftOutWords, "event": eventWords, "endpoint-reason": endpointReasons,
	"role": {
		"admin": {"admin", "管理员"}, "operator": {"operator", "运维"}, "approver": {"approver", "审核人"},
		"developer": {"developer", "开发者"}, "viewer": {"viewer", "只读"},
	},
	"channel": {"web": {"web page", "网页"}, "app": {"mobile app", "移动应用"}, "sms": {"SMS", "短信"}, "email": {"e-mail", "邮件"},
		"webhook": {"the merchant's system", "商户系统"}, "bot": {"group robot", "群机器人"}},
	"lane": {
		"critical": {"critical: first of all", "关键：最优先"}, "normal": {"normal", "普通"}, "bulk": {"bulk: campaigns", "批量：营销活动"},
	},
	"state": {
		// of applications, accounts and keys
		"applied": {"applied", "待审批"}, "active": {"active", "启用"}, "rejected": {"rejected", "已驳回"}, "suspended": {"suspended", "已停用"},
		"disabled": {"disabled", "已禁用"}, "revoked": {"revoked", "已吊销"},
		// of templates
		"buffered": {"buffered", "运营商缓存"}, "not_delivered": {"not delivered", "未送达"},
		"draft": {"draft", "草稿"}, "submitted": {"submitted", "待审核"}, "approved": {"approved", "已通过"}, "published": {"published", "已发布"},
		"retired": {"retired", "已下线"},
		// of deliveries
		"held": {"held", "等待中"}, "queued": {"queued", "排队中"}, "sending": {"sending", "发送中"}, "sent": {"sent", "已发送"},
		"delivered": {"delivered", "已送达"}, "failed": {"failed", "失败"}, "unknown": {"unknown", "结果未知"},
		"suppressed": {"suppressed", "未发送"}, "expired": {"expired", "已过期"}, "canceled": {"canceled", "已取消"},
		// of messages
		"accepted": {"accepted", "已受理"}, "processing": {"processing", "处理中"}, "done": {"done", "完成"},
		// of queues and checks
		"paused": {"paused", "已暂停"}, "running": {"running", "运行中"}, "ok": {"works", "正常"}, "down": {"does not work", "异常"},
		"off": {"not configured", "未配置"},
		// of reminders
		"waiting": {"waiting", "待提醒"}, "needless": {"needless: all had read", "无需提醒"}, "dropped": {"dropped", "已放弃"},
	},
	"reason": {
		"": {"", ""}, "no_address": {"no address on the channel", "该渠道没有地址"}, "no_template": {"no published template", "没有已发布的模板"},
		"template_failed": {"the template could not be rendered", "模板渲染失败"}, "too_long": {"too long for the channel", "内容超出渠道上限"},
		"send_at": {"not yet due", "未到发送时间"}, "expired": {"its time ran out", "超过有效期"}, "canceled": {"canceled by the application", "应用已取消"},
		"provider_refused": {"the provider refused it", "服务商拒绝"}, "address_refused": {"the provider refused the address", "服务商拒绝该地址"},
		"provider_busy": {"the provider is busy, tried again", "服务商繁忙，将重试"}, "provider_down": {"the provider cannot be reached, tried again", "服务商无法连接，将重试"},
		"provider_silent": {"the provider did not answer", "服务商未应答"}, "misconfigured": {"our account at the provider is at fault", "服务商账号配置有误"},
		"interrupted": {"interrupted while sending", "发送过程中断"}, "not_delivered": {"reported as not delivered", "回执显示未送达"},
		"channel_unavailable": {"no integration for the channel", "该渠道没有接入服务商"}, "user_gone": {"the user has left the directory", "用户已不在通讯录中"},
		"no_recipients": {"the audience is nobody", "收件人为空"}, "suspended": {"the application is suspended", "应用已停用"},
		"discarded": {"the template's deliveries were discarded", "该模板的待发内容已作废"}, "over_quota": {"over the daily quota", "超出每日配额"},
		"over_budget": {"over the SMS budget", "超出短信预算"}, "route_step": {"waits for its step of the route", "等待送达路径的下一步"}, "read": {"read before its step came", "已读，后续步骤取消"},
		"store_closed": {"the store is closed", "门店休息中"}, "digest": {"waits for a digest", "等待汇总"}, "digested": {"went out in a digest", "已并入汇总"}, "quiet_hours": {"quiet hours", "免打扰时段"}, "muted": {"muted by the user", "用户已屏蔽"},
		"over_cap": {"the user has had enough of them", "超出对用户的频次上限"}, "duplicate": {"the same was said before", "与此前消息重复"}, "collapsed": {"a newer one took its place", "已被更新的消息取代"},
	},
	"spared": {
		"muted": {"you muted these", "您已屏蔽此类消息"}, "over_cap": {"you had many of these", "此类消息较多，未再提醒"},
		"duplicate": {"said before", "与此前消息重复"}, "collapsed": {"a newer one took its place", "已被更新的消息取代"},
	},
	"scope": {
		"messages:send": {"send and cancel messages", "发送与取消消息"}, "messages:read": {"read messages and traces", "查看消息与轨迹"},
		"templates:write": {"write types and templates", "编辑消息类型与模板"}, "directory:write": {"write the directory (admins grant it)", "维护通讯录（须管理员授予）"},
		"tokens:mint": {"mint tokens for users (admins grant it)", "签发用户令牌（须管理员授予）"}, "receipts": {"bring receipts (admins grant it)", "上报回执（须管理员授予）"},
		"history:read": {"read the history", "查看历史"}, "inbox:write": {"mark messages", "标记消息"},
	},
	"breaker":   {"closed": {"closed: calls go through", "关闭：正常调用"}, "half_open": {"half open: trying", "半开：试探中"}, "open": {"open: no calls", "断开：停止调用"}},
	"hours":     {"always": {"it goes out", "照常发送"}, "hold": {"it waits until it opens", "等待开门"}, "summary": {"what waits becomes a digest at opening", "开门时汇总"}},
	"policy":    {"at_most_once": {"leave it unknown", "保留为结果未知"}, "at_least_once": {"send it again", "重新发送"}},
	"type":      {"string": {"text", "文本"}, "number": {"number", "数字"}, "boolean": {"yes or no", "是或否"}, "list": {"list", "列表"}, "object": {"object", "对象"}},
	"weekday":   {"mon": {"Mon", "周一"}, "tue": {"Tue", "周二"}, "wed": {"Wed", "周三"}, "thu": {"Thu", "周四"}, "fri": {"Fri", "周五"}, "sat": {"Sat", "周六"}, "sun": {"Sun", "周日"}},
	"level":     {"region": {"Region", "地区"}, "merchant": {"Merchant", "商户"}, "store": {"Store", "门店"}, "person": {"Person", "人员"}},
	"nowhere":   {"region": {"no region", "无地区"}, "merchant": {"no merchant", "无商户"}, "store": {"the merchant's own people", "商户直属人员"}},
	"directory": {"merchants": {"Merchants", "商户"}, "stores": {"Stores", "门店"}, "users": {"Users", "用户"}},
	"rule": {
		"suspended": {"application active", "应用是否启用"},
		"canceled":  {"canceled", "是否取消"}, "expires_at": {"time to live", "有效期"}, "template": {"template", "模板"}, "address": {"address", "地址"},
		"send_at": {"time to send", "发送时间"}, "route": {"step of the route", "送达路径步骤"}, "hours": {"store open", "门店营业时间"}, "digest": {"digest", "汇总"}, "quiet_hours": {"quiet hours", "免打扰时段"}, "muted": {"muted by the user", "用户是否屏蔽"}, "user_quiet_hours": {"the user's quiet hours", "用户免打扰时段"},
		"collapse": {"replaced by a newer one", "是否被取代"}, "duplicate": {"said before", "是否重复"}, "cap": {"cap for the user", "用户频次上限"}, "daily_quota": {"daily quota", "每日配额"}, "sms_budget": {"SMS budget", "短信预算"},
	},
	"verdict": {"passed": {"passed", "通过"}, "held": {"holds it", "暂缓"}, "stopped": {"stops it", "拦截"}, "skipped": {"not asked", "未判断"}},
	"via":     {"api": {"API", "接口"}, "console": {"console", "控制台"}, "cli": {"command line", "命令行"}, "system": {"system", "系统"}},
	"error": {
		"missing": {"is missing:", "缺少："}, "malformed": {"is malformed:", "格式不正确："}, "unknown": {"is unknown:", "不存在或不可用："},
		"too_long": {"is too long:", "过长："}, "too_many": {"has too many:", "数量过多："}, "too_short": {"is too short:", "过短："},
		"out_of_range": {"is out of range:", "超出范围："}, "empty": {"is empty:", "为空："}, "repeated": {"stands twice:", "重复："},
		"read_only": {"cannot be set:", "不可设置："}, "not_allowed": {"is not allowed:", "不允许："}, "type": {"has the wrong type:", "类型不符："},
		"syntax": {"cannot be read:", "语法错误："}, "forbidden": {"is not available:", "不可使用："}, "taken": {"is taken:", "已被占用："}, "wrong": {"is wrong:", "不正确："}, "in_past": {"lies in the past:", "已过去："}, "mandatory": {"cannot be muted:", "不可屏蔽："},
	},
	"code": {
		"invalid": {"The form is not filled in rightly.", "填写有误。"}, "unauthenticated": {"You are not signed in.", "您尚未登录。"},
		"forbidden": {"You may not do this.", "您没有权限执行此操作。"}, "not_found": {"There is no such thing, or not for you.", "内容不存在，或您无权查看。"},
		"method_not_allowed": {"This address does not take that.", "此地址不支持该操作。"}, "conflict": {"Somebody was faster, or it is no longer in a state that allows this.", "状态已变化，无法执行此操作。"},
		"too_large": {"It is too large.", "内容过大。"}, "unprocessable": {"It breaks a rule.", "不符合规则。"},
		"too_many_requests": {"Too much at once; try again later.", "操作过于频繁，请稍后再试。"}, "unavailable": {"Not available just now; try again.", "暂时不可用，请重试。"},
		"rate_limited": {"Too much at once; try again later.", "操作过于频繁，请稍后再试。"},
		"internal":     {"Something went wrong on our side.", "系统内部错误。"},
	},
}

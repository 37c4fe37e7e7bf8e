package console

// frameTexts stand around every page.
var frameTexts = map[string]text{
	"skip": {"Skip to the page", "跳到正文"}, "nav": {"Areas", "导航"},
	"nav.home": {"Home", "首页"}, "nav.applications": {"Applications", "应用"}, "nav.review": {"Review", "审核"}, "nav.messages": {"Messages", "消息"},
	"nav.broadcasts": {"Broadcasts", "群发"}, "nav.dead-letters": {"Dead letters", "失败投递"}, "nav.send": {"Test send", "测试发送"}, "nav.directory": {"Directory", "通讯录"}, "nav.limits": {"Limits", "限额"}, "nav.health": {"Integrations", "服务商"},
	"nav.audit": {"Audit log", "审计日志"}, "nav.accounts": {"Accounts", "账号"},
	"language.other": {"中文", "English"}, "language.code": {"zh", "en"}, "me": {"My account", "我的账号"}, "sign-out": {"Sign out", "退出"},
	"newer": {"Newer", "较新"}, "older": {"Older", "较早"}, "next": {"Next", "下一页"}, "first": {"From the start", "回到开头"},
	"none": {"none", "无"}, "all": {"all", "全部"}, "save": {"Save", "保存"}, "show": {"Show", "查看"}, "never": {"never", "从未"},
	"problem.title": {"That did not work", "操作未成功"}, "problem.form": {"It was not taken.", "未能提交。"}, "problem.home": {"To the start", "返回首页"},
	"sign-in": {"Sign in", "登录"}, "sign-in.lead": {"Messages to merchants: applications, templates, approvals, traces.", "商户消息平台：应用、模板、审核与投递轨迹。"},
	"sign-in.account-hint": {"Leave it empty to sign in with the admin token or an account's key.", "使用管理员令牌或账号密钥登录时留空。"},
	"sign-in.wrong":        {"This account and password do not open the console.", "账号或密码不正确。"}, "sign-in.ended": {"Your session has ended. Please sign in again.", "会话已结束，请重新登录。"},
	"sign-in.wait": {"Too many tries. Wait %d seconds.", "尝试次数过多，请等待 %d 秒。"}, "account": {"Account", "账号"}, "password": {"Password", "密码"},
	"state": {"State", "状态"}, "name": {"Name", "名称"}, "comment": {"Comment", "说明"}, "application": {"Application", "应用"}, "type": {"Message type", "消息类型"},
	"channel": {"Channel", "渠道"}, "channels": {"Channels", "渠道"}, "locale": {"Locale", "语言"}, "version": {"Version", "版本"}, "time": {"Time", "时间"}, "user": {"User", "用户"},
	"merchant": {"Merchant", "商户"}, "role": {"Role", "角色"}, "id": {"ID", "标识"},
}

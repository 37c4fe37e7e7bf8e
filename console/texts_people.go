package console

// peopleTexts are what the pages about accounts and the audit log say.
var peopleTexts = map[string]text{
	"audit.lead":  {"Every change, in an order that cannot be changed: each row holds the hash of the row before. 'tidings audit verify' checks it.", "所有变更按不可篡改的顺序记录：每行包含上一行的哈希。可用 tidings audit verify 校验。"},
	"audit.actor": {"Who", "操作人"}, "audit.action": {"What", "操作"}, "audit.object": {"On what", "对象"}, "audit.detail": {"Detail", "详情"}, "audit.number": {"No.", "序号"}, "audit.none": {"Nothing was changed.", "暂无记录。"},
	"accounts.none": {"No accounts.", "暂无账号。"}, "account.new": {"New account", "新建账号"}, "account.make": {"Make the account", "创建账号"}, "account.signed-in": {"Last signed in", "最近登录"}, "account.language": {"Language", "界面语言"},
	"account.application-hint": {"Of developers, and of viewers who see one application alone.", "开发者所属应用；只读账号可限定为单个应用。"}, "account.ends": {"A change of role, application or state ends the sessions of the account.", "变更角色、应用或状态会结束该账号的所有会话。"},
	"password.hint": {"12 characters or more.", "至少 12 个字符。"}, "password.new": {"New password", "新密码"}, "password.old": {"Old password", "原密码"}, "password.set": {"Set the password", "设置密码"}, "password.change": {"Change the password", "修改密码"},
	"password.ends": {"You sign in again afterwards, everywhere.", "修改后需要在所有设备上重新登录。"},
}

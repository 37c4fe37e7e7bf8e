package console

// integrationTexts are what the pages of integrations say.
var integrationTexts = map[string]text{
	"integration": {"Integration", "接入"}, "provider": {"Provider", "服务商"}, "integration.by-channel": {"By channel, in the order in which they are tried", "按渠道，依尝试顺序"}, "integration.new": {"New integration", "新建接入"},
	"integration.none": {"No integrations. Messages go to the web page only.", "暂无接入，消息仅发往网页。"}, "integration.given": {"from the environment", "来自环境变量"},
	"integration.environment": {"It stands in the environment of the processes and is changed there.", "由进程环境变量配置，只能在环境变量中修改。"}, "integration.choose": {"Show its settings", "显示其设置"},
	"integration.breaker": {"Breaker", "熔断"}, "integration.calls": {"Calls a minute", "每分钟调用"}, "integration.success": {"Accepted", "受理率"}, "integration.outcomes": {"Outcomes", "结果"},
	"integration.counts": {"accepted %d, refused %d, busy %d, unknown %d", "受理 %d，拒绝 %d，繁忙 %d，未知 %d"}, "integration.times": {"p50 / p99", "p50 / p99 耗时"}, "integration.error": {"Last error", "最近错误"},
	"integration.fares": {"The last five minutes", "最近五分钟"}, "integration.order": {"Order", "顺序"}, "integration.order-hint": {"The lowest that is well takes a delivery.", "状态良好者中顺序最小的优先投递。"},
	"integration.weight": {"Weight", "权重"}, "integration.weight-hint": {"Share among those of one order; 0 counts as 1.", "同一顺序内的分配比例，0 按 1 计。"}, "integration.account": {"Account", "账号设置"},
	"integration.kept": {"set; leave empty to keep it", "已设置，留空则保持不变"}, "integration.rate": {"Calls a second", "每秒调用上限"}, "integration.burst": {"Calls at once", "瞬时调用上限"}, "integration.parallel": {"Under way at once", "并发调用数"},
	"integration.application-hint": {"Leave empty to serve all.", "留空则服务所有应用。"}, "integration.pause": {"Pause", "暂停"}, "integration.resume": {"Resume", "恢复"}, "integration.delete": {"Remove", "移除"},
	"integration.delete-ask": {"Remove this integration? What was sent over it stays in the record.", "确定移除该接入？已发送的记录会保留。"},
}

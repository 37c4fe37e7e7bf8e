package console

// templateTexts are what the pages about templates and their review say.
var templateTexts = map[string]text{
	"done.draft": {"Saved as a new version. Look at the report, then submit it.", "已保存为新版本。查看报告后即可提交审核。"}, "done.submitted": {"Submitted. Somebody else has to approve it.", "已提交，须由他人审核。"},
	"done.published": {"Published.", "已发布。"}, "done.rolled-back": {"Rolled back to the version before.", "已回滚到上一版本。"}, "done.discarded": {"What was pending of this version is discarded.", "该版本的待发内容已作废。"},
	"templates": {"Templates", "模板"}, "templates.of": {"Templates of %s", "%s 的模板"}, "templates.none": {"No templates.", "暂无模板。"}, "templates.missing": {"%s has no template: nothing is sent there.", "%s渠道没有模板，不会发送。"},
	"template.write": {"Write one", "新建模板"}, "template.new-version": {"New version", "新版本"}, "template.text": {"Text", "正文"}, "template.subject": {"Title", "标题"}, "template.url": {"Link", "链接"},
	"template.edit": {"Write a template", "编辑模板"}, "template.edit-lead": {"Versions are never changed: what you save is a new one, as a draft.", "版本不可修改：保存后会生成一个新的草稿版本。"},
	"template.not-sms": {"Every channel but SMS.", "除短信外的所有渠道。"}, "template.only-sms": {"SMS: put in front of the text.", "仅短信：置于正文之前。"}, "template.liquid": {"Liquid. The variables:", "使用 Liquid 语法。可用变量："},
	"template.signature": {"Signature", "签名"}, "template.code": {"Provider's template code", "服务商模板编号"}, "template.code-hint": {"Where the provider needs one.", "服务商要求时填写。"},
	"template.data": {"Data", "数据"}, "template.data-hint": {"For the preview only.", "仅用于预览。"}, "template.save": {"Save as a draft", "保存为草稿"},
	"template.title": {"%s · %s · version %d", "%s · %s · 版本 %d"}, "template.next": {"What is next", "下一步"}, "template.source": {"Source", "模板源码"}, "template.percent-of": {"for %d %% of the stores", "对 %d%% 的门店生效"},
	"author": {"Author", "作者"}, "reviewer": {"Reviewer", "审核人"}, "submit": {"Submit for review", "提交审核"}, "submit.hint": {"An approver who is not its author decides.", "须由作者以外的审核人审核。"},
	"judge.own": {"It is yours: somebody else has to decide.", "这是您提交的模板，须由他人审核。"}, "judge.yours": {"(you)", "（本人）"},
	"publish": {"Publish", "发布"}, "publish.percent": {"To how many percent of the stores", "门店百分比"}, "rollback": {"Roll back", "回滚"}, "rollback.ask": {"Go back to the version that was published before?", "确定回滚到上一个已发布版本？"},
	"discard": {"Discard what is pending", "作废待发内容"}, "discard.ask": {"Cancel every delivery of this version that is not sent yet? It cannot be undone.", "确定取消该版本所有未发送的投递？此操作无法撤销。"},
	"report.missing": {"Variables that the message type does not declare:", "消息类型未声明的变量："}, "report.example": {"With the examples", "使用示例数据"}, "report.real": {"With the data of a real message, masked:", "使用真实消息数据（已脱敏）："}, "report.same": {"Others that came out the same: %d", "结果相同的其他消息：%d"}, "report.diff": {"Difference to what is published", "与已发布版本的差异"},
	"review.none": {"Nothing waits.", "暂无待处理事项。"}, "review.open": {"Open", "查看"}, "preview": {"Preview", "预览"}, "preview.as": {"As the recipient sees it", "收件人所见"}, "preview.error": {"It cannot be rendered:", "无法渲染："},
	"preview.app": {"Your app", "您的应用"}, "preview.now": {"now", "刚刚"}, "preview.parts": {"SMS parts charged: %d (%s)", "计费条数：%d（%s）"},
}

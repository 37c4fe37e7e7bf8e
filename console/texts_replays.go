package console

// replayTexts are what the pages of dead letters and replays say.
var replayTexts = map[string]text{
	"done.replay": {"Recorded. It is carried out in steps.", "已记录，正在分批执行。"}, "done.replay-canceled": {"Canceled. What is on its way stays on its way.", "已取消，已上路的继续发送。"},
	"dead.none": {"Nothing ended without a success.", "没有未成功的投递。"}, "dead.none-here": {"None on this stretch; there may be older ones.", "本段没有，可能还有更早的。"}, "dead.hours": {"Ended in the last hours", "最近几小时内结束"}, "dead.ended": {"Ended", "结束时间"},
	"dead.lead": {"What ended without a success, and why. It can be sent again one by one, or all that the filter selects.", "未成功的投递及原因，可逐条或按筛选条件重新发送。"},
	"dead.plan": {"What would sending all of these again do?", "全部重新发送会怎样？"}, "dead.again": {"Send again", "重新发送"}, "dead.again-unknown": {"It may have arrived. Send it a second time?", "可能已送达，确定再发一次？"},
	"dead.reason": {"Reason", "原因"}, "replay": {"Replay", "重新发送"}, "replays": {"Replays", "重发记录"}, "replays.none": {"Nothing was sent again yet.", "暂无重发记录。"}, "replay.new": {"Send again", "重新发送"},
	"replay.count": {"Deliveries to be sent again", "将重新发送"}, "replay.cost": {"SMS parts", "短信条数"}, "replay.left": {"Left out", "不发送"},
	"replay.first": {"The first of them", "前若干条"}, "replay.more": {"There are more.", "还有更多。"}, "replay.send": {"Send them again", "确认重新发送"}, "replay.ask": {"Send all of these again?", "确定全部重新发送？"},
	"replay.expire": {"A new end in so many hours, for those whose time ran out", "为已过期的设置新的有效期（小时）"}, "replay.show": {"Show again", "重新计算"}, "replay.by": {"Made by", "发起人"}, "replay.filter": {"Filter", "筛选条件"},
	"replay.done": {"Sent again", "已重新发送"}, "replay.now": {"Now", "当前状态"}, "replay.was": {"Was", "原状态"}, "replay.cancel": {"Cancel", "取消"}, "replay.cancel-ask": {"End it here? What is on its way stays on its way.", "确定终止？已上路的继续发送。"},
	"replay.unknown-hint": {"What is unknown may have arrived: who sends it again decides that.", "结果未知的可能已送达，重新发送即由您决定。"},
}

// leftOutWords say why a replay leaves a delivery out.
var leftOutWords = map[string]text{
	"succeeded": {"it was taken or has arrived", "已成功"}, "under_way": {"it is on its way", "正在发送"}, "canceled": {"the application took it back", "应用已取消"},
	"by_rule": {"a rule or the user's wish stopped it", "被规则或用户意愿拦截"}, "unknown": {"it may have arrived", "可能已送达"}, "too_soon": {"its call may still be under way", "调用可能仍在进行"},
	"expired": {"its time ran out", "已过有效期"}, "read": {"the user has read it", "用户已读"}, "collapsed": {"a newer one took its place", "已被更新的消息取代"}, "digest": {"it belongs into a digest", "属于汇总"},
	"user_gone": {"the user left the directory", "用户已不在通讯录中"}, "no_content": {"it has no content: publish a template that makes one, and replay again", "没有内容：请发布可用的模板后再次重放"},
	"no_address": {"no address on the channel", "该渠道没有地址"}, "over_quota": {"over the daily quota", "超出每日配额"}, "over_budget": {"over the SMS budget", "超出短信预算"},
}

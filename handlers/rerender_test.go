package handlers_test

import (
	"context"
	dbsql "database/sql"
	"testing"
	"time"

	"tidings"
	"tidings/handlers"
)

// What ended for want of a template, or by a bad one, is sent again once there is a good one, each user in his language.
func TestAReplayMakesTheContentsThatWereMissing(t *testing.T) {
	for name, bad := range map[string]string{"no template": "", "a template that fails": "{{ 1 | divided_by: 0 }}"} {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				ctx := context.Background()
				clock := time.Now()
				w.db.RenderBy(handlers.Renderer(w.db, func() time.Time { clock = clock.Add(time.Minute); return clock }))
				both := []tidings.Channel{tidings.Web, tidings.SMS}
				bodies := map[string]string{}
				if bad != "" {
					bodies["zh-CN"] = bad
				}
				w.publish("late", both, bodies)
				m := w.accept(message("late", tidings.Audience{Users: []string{"u00", "u01", "u03"}}, both...))[0]
				w.run()
				aged(t, raw)
				r := states(tidings.Failed)
				p, err := w.db.PlanReplay(ctx, r, 10)
				must(t, err)
				wantMap(t, "without a template", p.Why, map[tidings.LeftOut]int{tidings.LeftNoContent: 6})

				w.publish("late", both, map[string]string{"zh-CN": "订单 {{ order }}", "en-US": "Order {{ order }}"})
				p, err = w.db.PlanReplay(ctx, r, 10)
				must(t, err)
				if p.Count != 6 || p.Parts != 3 || p.Left != 0 {
					t.Fatalf("%+v", p)
				}
				if n := number(t, raw, "SELECT count(*) FROM contents WHERE message_id <> 0 AND reason = '' AND title = 'T' AND body LIKE '%A-1'"); n != 0 {
					t.Errorf("a plan wrote %d contents", n)
				}
				if made := w.replay(r); made.Replayed != 6 || made.Parts != 3 {
					t.Fatalf("%+v", made)
				}
				w.run()
				if got := w.statesOf(m); got["u00"] != tidings.Sent || got["u01"] != tidings.Sent || got["u03"] != tidings.Sent {
					t.Errorf("%v", got)
				}
				said := map[string]string{}
				for _, c := range w.sender.calls {
					said[c.User] = c.Content.Body
				}
				wantMap(t, "said", said, map[string]string{"u00": "订单 A-1", "u01": "Order A-1", "u03": "订单 A-1"})
				w.balanced()
			})
		})
	}
}

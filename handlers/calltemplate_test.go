package handlers_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestAProvidersTemplateReachesTheDriverWithTheVariablesThatItNames(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.publish("plain", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "{{ order }}"})
		for name, code := range map[string]string{"coded": "SMS_1:order", "broken": "SMS_1:nothing"} {
			w.publish(name, []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "{{ order }}"})
			made, err := db.CreateTemplate(context.Background(), tidings.Template{Application: "orders", Type: name, Channel: tidings.SMS, Locale: "zh-CN",
				Body: "订单 {{ order }}", ProviderCode: code, Signature: "【望京】"})
			must(t, err)
			_, err = db.PublishTemplate(context.Background(), "orders", name, tidings.SMS, "zh-CN", made.Version)
			must(t, err)
		}
		w.fresh()
		w.accept(message("coded", tidings.Audience{Users: []string{"u00"}}, tidings.SMS), message("broken", tidings.Audience{Users: []string{"u01"}}, tidings.SMS),
			message("plain", tidings.Audience{Users: []string{"u02"}}, tidings.SMS))
		w.run()
		if len(w.sender.calls) != 3 {
			t.Fatalf("%d calls", len(w.sender.calls))
		}
		for _, c := range w.sender.calls {
			var want *tidings.CallTemplate
			wrong := ""
			switch c.User {
			case "u00":
				want = &tidings.CallTemplate{Code: "SMS_1", Signature: "望京", Params: []tidings.Param{{Name: "order", Value: "A-1"}}}
			case "u01":
				wrong = "nothing"
			}
			if !reflect.DeepEqual(c.Template, want) || (c.TemplateError == "") != (wrong == "") || !strings.Contains(c.TemplateError, wrong) {
				t.Errorf("%s: %+v %q", c.User, c.Template, c.TemplateError)
			}
		}
	})
}

package tidings_test

import (
	"reflect"
	"testing"

	"tidings"
)

func TestAProviderIsGivenTheVariablesThatTheCodeNamesInItsOrder(t *testing.T) {
	data := []byte(`{"order":{"id":"A1","list":[1]},"amount":12345678.90,"vip":true,"secret":"s"}`)
	got, err := tidings.NewCallTemplate("SMS_1:amount,order.id,vip", "【Acme】", data)
	want := &tidings.CallTemplate{Code: "SMS_1", Signature: "Acme",
		Params: []tidings.Param{{Name: "amount", Value: "12345678.90"}, {Name: "order_id", Value: "A1"}, {Name: "vip", Value: "true"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := tidings.NewCallTemplate("449739", "", nil); err != nil || got.Code != "449739" || len(got.Params) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, code := range []string{"", "SMS 1", "SMS_1:", "SMS_1:a,,b", "SMS_1:order", "SMS_1:order.list", "SMS_1:amount.x", "SMS_1:none"} {
		if got, err := tidings.NewCallTemplate(code, "", data); err == nil {
			t.Errorf("%q: %+v", code, got)
		}
	}
}

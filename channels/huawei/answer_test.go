package huawei

import (
	"errors"
	"testing"

	"tidings"
	"tidings/channels/once"
)

// v3 lists tokens by the reason, and some reasons are our account's: they must cost nobody his address.
func TestAPartOfABatchIsToldTokenByToken(t *testing.T) {
	tokens := []string{"good", "malformed", "foreign"}
	for message, want := range map[string][]tidings.SendError{
		`{\"success\":1,\"failure\":2,\"illegalTokens\":{\"tokenFormatError\":[\"malformed\"],\"noRight\":[\"foreign\"]}}`: {{}, dead, notTheirs},
		`{\"success\":1,\"failure\":2,\"illegal_tokens\":[\"malformed\",\"foreign\"]}`:                                     {{}, dead, dead},
		`{\"success\":1,\"failure\":2,\"illegal_tokens\":[\"malformed\"]}`:                                                 {nobodyKnows, dead, nobodyKnows},
		`Check Parameter Partial Success.`:                                                                                 {nobodyKnows, nobodyKnows, nobodyKnows},
	} {
		results := decode(once.Answer{Status: 200, Body: []byte(`{"code":"80100000","msg":"` + message + `","requestId":"r"}`)}, tokens)
		for i, r := range results {
			var got tidings.SendError
			if e, ok := errors.AsType[*tidings.SendError](r.Err); ok {
				got = *e
				got.Err = nil
			}
			if got != want[i] {
				t.Errorf("%s: %s: %+v, want %+v", message, tokens[i], got, want[i])
			}
		}
	}
}

package huawei

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"tidings"
)

const maxStatuses = 1000 // of one report; Huawei sends 100

// Report reads a report of Push Kit (v1 or v2). It carries the attempt's id as biTag; what has another biTag is not of ours, or of a batch,
// and is not kept. Reports may be replayed: a receipt that is known changes nothing.
func (s *Sender) Report(r tidings.Report) ([]tidings.Receipt, tidings.ReportAnswer, error) {
	if s.secret != "" && !s.signed(http.Header(r.Header).Get("X-Huawei-Callback-Id")) {
		return nil, tidings.ReportAnswer{}, &tidings.Error{Code: tidings.Unauthenticated, Detail: "the report is not signed with our callback secret"}
	}
	var body struct {
		Statuses []struct {
			Tag      string `json:"biTag"`
			ID       string `json:"requestId"`
			Status   *int   `json:"status"` // of v1
			Delivery *struct {
				Result *int `json:"result"`
			} `json:"deliveryStatus"` // of v2
		} `json:"statuses"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil || body.Statuses == nil || len(body.Statuses) > maxStatuses {
		return nil, tidings.ReportAnswer{}, &tidings.Error{Code: tidings.Invalid, Detail: "not a report of Push Kit"}
	}
	var receipts []tidings.Receipt
	for _, st := range body.Statuses {
		result := st.Status
		if st.Delivery != nil {
			result = st.Delivery.Result
		}
		attempt, err := tidings.ParseID(st.Tag)
		if err != nil || result == nil {
			continue
		}
		receipt := tidings.Receipt{Attempt: attempt, ProviderID: st.ID, Kind: kind(*result)}
		if *result != 0 {
			receipt.Detail = "huawei: status " + strconv.Itoa(*result)
		}
		receipts = append(receipts, receipt)
	}
	return receipts, tidings.ReportAnswer{Status: http.StatusOK, Type: "application/json", Body: `{"code":"0","message":"success"}`}, nil
}

// kind is what a report's status says: 0 arrived; 27 and 51 wait on the device; all others mean that it will not be shown: the app or the
// token is gone, notifications are off, the device was away too long, or Huawei held it back.
func kind(result int) tidings.ReceiptKind {
	switch result {
	case 0:
		return tidings.ReceiptDelivered
	case 27, 51:
		return tidings.ReceiptBuffered
	}
	return tidings.ReceiptNotDelivered
}

// signed checks "timestamp=...;nonce=...;value=...", where value is the HMAC of timestamp, nonce and user. The key is the secret as it
// was set, or, for secrets that Huawei's console made, what it is the base64 of.
func (s *Sender) signed(header string) bool {
	fields := map[string]string{}
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	value, err := base64.StdEncoding.DecodeString(fields["value"])
	if err != nil {
		return false
	}
	text := []byte(fields["timestamp"] + fields["nonce"] + s.user)
	keys := [][]byte{[]byte(s.secret)}
	if key, err := base64.StdEncoding.DecodeString(s.secret); err == nil && len(key) > 0 {
		keys = append(keys, key)
	}
	good := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(text)
		good = hmac.Equal(mac.Sum(nil), value) || good
	}
	return good
}

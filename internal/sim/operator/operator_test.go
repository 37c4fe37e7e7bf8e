package operator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
)

func utf16Bytes(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u >> 8))
		b.WriteByte(byte(u))
	}
	return b.String()
}

type bench struct {
	*Operator
	url string
}

func newBench(t *testing.T, c Config) *bench {
	t.Helper()
	b := &bench{Operator: New(c)}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	t.Cleanup(b.Close)
	b.url = server.URL
	return b
}

func (b *bench) take(t *testing.T, text, coding, udh string) string {
	t.Helper()
	q := url.Values{"from": {"10690000"}, "to": {"8613800138000"}, "text": {text}, "coding": {coding}, "udh": {udh}}
	response, err := http.Get(b.url + "/mt?" + q.Encode())
	if err != nil {
		return "no answer"
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(response.StatusCode, " ", strings.TrimSpace(string(body)))
}

func TestPartsAreJoinedInWhateverOrderTheyCome(t *testing.T) {
	b := newBench(t, Config{})
	b.take(t, utf16Bytes("发货😀"), "2", "\x05\x00\x03\x11\x02\x02")
	b.take(t, "another SMS", "0", "\x05\x00\x03\x12\x02\x01")
	b.take(t, utf16Bytes("订单已"), "2", "\x05\x00\x03\x11\x02\x01")
	r := b.Records()
	if len(r) != 1 || r[0].Text != "订单已发货😀" || r[0].Parts != 2 || r[0].Coding != 2 || r[0].Undecodable || r[0].ID != "op-3" {
		t.Errorf("%+v", r)
	}
}

func TestAPairCutInTwoIsSeen(t *testing.T) {
	b := newBench(t, Config{})
	emoji := utf16Bytes("😀")
	b.take(t, utf16Bytes("中")+emoji[:2], "2", "\x05\x00\x03\x11\x02\x01")
	b.take(t, emoji[2:], "2", "\x05\x00\x03\x11\x02\x02")
	if r := b.Records(); len(r) != 1 || !r[0].Undecodable {
		t.Errorf("%+v", r)
	}
}

func TestEveryFaultDoesWhatItSays(t *testing.T) {
	for kind, want := range map[string]struct {
		answer  string
		records int
	}{
		"": {"200 OK <id>op-1</id>", 1}, "permfail": {"200 PERMFAIL", 0}, "tempfail": {"200 TEMPFAIL", 0}, "status": {"500 ", 0},
		"reset_before_accept": {"no answer", 0}, "reset_after_accept": {"no answer", 1}, "no_report": {"200 OK <id>op-1</id>", 1},
	} {
		b := newBench(t, Config{})
		b.Fail(Fault{Kind: kind, Status: 500, DelayMS: 1, Text: "hello"})
		if got := b.take(t, "hello", "0", ""); got != want.answer || len(b.Records()) != want.records {
			t.Errorf("%s: %q with %d records", kind, got, len(b.Records()))
		}
		if got := b.take(t, "hello", "0", ""); !strings.HasPrefix(got, "200 OK") {
			t.Errorf("after %s: %q", kind, got)
		}
	}
}

func TestWhatIsNoPartIsRefusedForGood(t *testing.T) {
	b := newBench(t, Config{})
	for _, udh := range []string{"x", "\x05\x00\x03\x11\x02\x03", "\x05\x00\x03\x11\x00\x01"} {
		if got := b.take(t, "x", "0", udh); !strings.HasPrefix(got, "200 PERMFAIL") {
			t.Errorf("header %q: %s", udh, got)
		}
	}
	if got := b.take(t, "x", "seven", ""); !strings.HasPrefix(got, "200 PERMFAIL") {
		t.Error(got)
	}
}

func TestARepeatIsCountedAndNotDropped(t *testing.T) {
	b := newBench(t, Config{})
	b.take(t, "twice", "0", "")
	b.take(t, "twice", "0", "")
	b.take(t, "once", "0", "")
	c := b.Counts()
	if len(c) != 2 || c[0].Times != 2 || c[1].Times != 1 {
		t.Errorf("%+v", c)
	}
}

func TestReportsGoToKannelsPort(t *testing.T) {
	got := make(chan url.Values, 2)
	kannel := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Query() }))
	t.Cleanup(kannel.Close)
	b := newBench(t, Config{ReportURL: kannel.URL + "/sms?username=u&password=p"})
	b.Fail(Fault{Kind: "undelivered"})
	for _, mask := range []string{"2", "1"} {
		b.take(t, "x", "0", "")
		select {
		case q := <-got:
			if q.Get("username") != "u" || q.Get("dlr-mask") != mask || !strings.HasPrefix(q.Get("dlr-mid"), "op-") {
				t.Errorf("%v", q)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no report")
		}
	}
}

// lines is a writer that tells of each line.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	told chan string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	l.told <- string(b)
	return len(b), nil
}

func TestItRunsAsAProgramUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lines{told: make(chan string, 10)}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, []string{"-listen", "127.0.0.1:0"}, out) }()
	base := strings.TrimSpace((<-out.told)[len("operator listens on "):])
	response, err := http.Get(base + "/mt?to=1&text=hello")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if line := <-out.told; line != "SMS to 1 (1 parts): hello\n" {
		t.Errorf("%q", line)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), []string{"-nonsense"}, io.Discard); err == nil {
		t.Error("an unknown flag was taken")
	}
}

func TestAReportThatOvertookItsMessageIsRepeated(t *testing.T) {
	calls := make(chan int, 10)
	n := 0
	kannel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusNotFound)
		}
		calls <- n
	}))
	t.Cleanup(kannel.Close)
	b := newBench(t, Config{ReportURL: kannel.URL + "/sms?username=u&password=p"})
	b.take(t, "x", "0", "")
	for want := 1; want <= 2; want++ {
		select {
		case got := <-calls:
			if got != want {
				t.Errorf("call %d, want %d", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no report")
		}
	}
}

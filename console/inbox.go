package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"tidings"
)

// inboxPage is what inbox.html shows: the frame of the message centre. What is in it the script reads with the user's
// token, which stands in the fragment of the address and so in no log.
type inboxPage struct {
	Lang, Other string
	ForPage     string // the texts as JSON, for the script
	CometURL    string
}

// inboxKeys are the texts that the script needs.
var inboxKeys = []string{"inbox.title", "inbox.connecting", "inbox.open", "inbox.waiting", "inbox.closed", "inbox.unread", "inbox.read", "inbox.was-read",
	"inbox.merchant", "inbox.store", "inbox.you", "inbox.failed", "inbox.no-token", "inbox.ended", "inbox.reset", "inbox.new"}

func (c *Console) getInbox(w http.ResponseWriter, r *http.Request) error {
	lang := language(r)
	said := map[string]string{}
	for _, key := range inboxKeys {
		said[strings.TrimPrefix(key, "inbox.")] = say(lang, key)
	}
	for _, r := range tidings.Spares {
		said["reason."+string(r)] = word(lang, "spared", string(r))
	}
	page, err := json.Marshal(said)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, lang, "inbox", "page", c.cometPolicy(), inboxPage{Lang: lang,
		Other: map[string]string{"zh": "en", "en": "zh"}[lang], ForPage: string(page), CometURL: c.CometURL})
}

// cometPolicy is the policy of pages that open a connection to comet, which may have an origin of its own.
func (c *Console) cometPolicy() string {
	if u, err := url.Parse(c.CometURL); err == nil && u.Host != "" {
		return strings.Replace(pagePolicy, "connect-src 'self'", "connect-src 'self' "+u.Scheme+"://"+u.Host+" ws"+strings.TrimPrefix(u.Scheme, "http")+"://"+u.Host, 1)
	}
	return pagePolicy
}

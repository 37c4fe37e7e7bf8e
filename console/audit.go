package console

import (
	"net/url"
	"strconv"
	"time"

	"tidings"
)

// auditPage is what audit.html shows.
type auditPage struct {
	Changes                      []tidings.Change
	Actor, Action, Object, Since string
	Older                        string
	Newer                        string
}

func (v *visit) getAudit() error {
	q := v.r.URL.Query()
	p := auditPage{Actor: q.Get("actor"), Action: q.Get("action"), Object: q.Get("object"), Since: q.Get("since")}
	cq := tidings.ChangeQuery{Actor: p.Actor, Action: p.Action, Object: p.Object, Limit: pageLength + 1}
	var err error
	if p.Since != "" {
		if cq.Since, err = time.Parse(time.DateOnly, p.Since); err != nil {
			return tidings.FieldErrors{{Field: "since", Code: "malformed", Detail: "a day such as 2026-01-31"}}.Err(tidings.Invalid)
		}
	}
	if s := q.Get("before"); s != "" {
		cq.Before, _ = strconv.ParseInt(s, 10, 64) // what is no number is the beginning
	}
	if p.Changes, err = v.Platform.Changes(v.r.Context(), cq); err != nil {
		return err
	}
	link := func(before int64) string {
		keep := url.Values{}
		for k, s := range map[string]string{"actor": p.Actor, "action": p.Action, "object": p.Object, "since": p.Since} {
			if s != "" {
				keep.Set(k, s)
			}
		}
		if before > 0 {
			keep.Set("before", strconv.FormatInt(before, 10))
		}
		return root + "/audit?" + keep.Encode()
	}
	if len(p.Changes) > pageLength {
		p.Changes = p.Changes[:pageLength]
		p.Older = link(p.Changes[pageLength-1].Number)
	}
	if cq.Before > 0 {
		p.Newer = link(0)
	}
	return v.show("audit", v.t("nav.audit"), nil, p)
}

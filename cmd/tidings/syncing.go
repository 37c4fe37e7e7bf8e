package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidings"
)

// mostDeleted is how much of a kind a sync deletes unasked: a file that was cut short must not empty the directory.
const mostDeleted = 20 // percent

// syncing deletes what the files of an import do not name. What stands in the directory is listed before the first line of a
// kind is sent, so that nothing is deleted that somebody else puts meanwhile.
type syncing struct {
	ctx    context.Context
	api    *client
	wanted bool
	force  bool
	kinds  map[string]*kindSync
	unread int // lines of which nobody knows what they name
}

type kindSync struct {
	known []string
	named map[string]bool
}

// name notes that a line is about this. Also a line that is refused keeps what it names.
func (s *syncing) name(kind, id string) error {
	switch {
	case !s.wanted || kind == "addresses":
		return nil
	case kind == "" || id == "":
		s.unread++
		return nil
	}
	k := s.kinds[kind]
	if k == nil {
		known, err := list[struct{ ID string }](s.ctx, s.api, "/v1/"+kind+"s", url.Values{"limit": {"200"}}, "after", 0)
		if err != nil {
			return err
		}
		k = &kindSync{named: map[string]bool{}}
		for _, one := range known {
			k.known = append(k.known, one.ID)
		}
		s.kinds[kind] = k
	}
	k.named[id] = true
	return nil
}

// finish deletes users before the stores, and stores before the merchants, that they belong to.
func (s *syncing) finish() (report importReport, err error) {
	if s.unread > 0 && s.wanted {
		return report, fmt.Errorf("nothing was deleted: %d lines could not be understood, and what they name must not be taken for gone", s.unread)
	}
	gone := map[string][]string{}
	for kind, k := range s.kinds {
		gone[kind] = slices.DeleteFunc(slices.Clone(k.known), func(id string) bool { return k.named[id] })
		if n := len(gone[kind]); n*100 > len(k.known)*mostDeleted && !s.force {
			err = errors.Join(err, fmt.Errorf("nothing was deleted: %d of %d %ss are not in the files, more than %d %%; --force says that this is meant",
				n, len(k.known), kind, mostDeleted))
		}
	}
	if err != nil {
		return report, err
	}
	for _, kind := range []string{"user", "store", "merchant"} {
		for ids := range slices.Chunk(gone[kind], importChunk) {
			if err := s.bury(kind, ids, &report); err != nil {
				return report, err
			}
		}
	}
	return report, nil
}

func (s *syncing) bury(kind string, ids []string, report *importReport) error {
	var body strings.Builder
	for _, id := range ids {
		var l tidings.ImportLine
		switch kind {
		case "user":
			l.User = &tidings.ImportUser{User: tidings.User{ID: id}, Deleted: true}
		case "store":
			l.Store = &tidings.ImportStore{Store: tidings.Store{ID: id}, Deleted: true}
		default:
			l.Merchant = &tidings.ImportMerchant{Merchant: tidings.Merchant{ID: id}, Deleted: true}
		}
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		body.Write(append(text, '\n'))
	}
	answer, err := s.api.importLines(s.ctx, []byte(body.String()))
	for i := range answer.Problems {
		answer.Problems[i].File = "--sync"
	}
	report.add(answer)
	return err
}

// importLines sends JSON lines.
func (c *client) importLines(ctx context.Context, lines []byte) (report importReport, err error) {
	resp, err := c.open(ctx, http.MethodPost, "/v1/directory/import", bytes.NewReader(lines), "Content-Type", "application/x-ndjson")
	if err != nil {
		return report, err
	}
	defer resp.Body.Close() //nolint:errcheck // read
	return report, json.NewDecoder(resp.Body).Decode(&report)
}

package api

import (
	"context"
	"net/http"
	"strings"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// History is what reached a merchant or a store, for the merchant's own systems.
type History interface {
	DimensionHistory(ctx context.Context, dimension string, q tidings.PageQuery) (items []tidings.HistoryItem, more bool, err error)
	MarkDimension(ctx context.Context, dimension string, m tidings.Mark, ids []tidings.ID) (map[string][]tidings.ID, error)
}

// dimensionOf is the dimension in the path, if the principal may see it: an admin each, a merchant key its own, and the key
// of a merchant also those of its stores. Everything else does not exist for it.
func (a *API) dimensionOf(r *http.Request, p auth.Principal, via string) (string, error) {
	id := r.PathValue("id")
	dimension := via + id
	if !tidings.ValidName(id) {
		return "", notFound("merchant or store")
	}
	if p.Kind == auth.Admin || p.Dimension == dimension {
		return dimension, nil
	}
	merchant, ok := strings.CutPrefix(p.Dimension, tidings.ViaMerchant)
	if !ok || via != tidings.ViaStore {
		return "", notFound("merchant or store")
	}
	store, err := a.Store.Store(r.Context(), id)
	if tidings.CodeOf(err) == tidings.NotFound || err == nil && store.Merchant != merchant {
		return "", notFound("merchant or store")
	}
	return dimension, err
}

func (a *API) getHistory(via string) handler {
	return func(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
		q := queryOf(r)
		pq := q.page()
		if err := q.err(); err != nil {
			return err
		}
		dimension, err := a.dimensionOf(r, p, via)
		if err != nil {
			return err
		}
		items, more, err := a.Store.DimensionHistory(r.Context(), dimension, pq)
		if err != nil {
			return err
		}
		page := newestFirst(items, more, pq, func(h tidings.HistoryItem) tidings.ID { return h.ID })
		return middleware.WriteJSON(w, http.StatusOK, page)
	}
}

func (a *API) markHistory(via string, m tidings.Mark) handler {
	return func(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
		dimension, err := a.dimensionOf(r, p, via)
		if err != nil {
			return err
		}
		ids, _, err := readMarks(w, r, false)
		if err != nil {
			return err
		}
		marked, err := a.Store.MarkDimension(r.Context(), dimension, m, ids)
		if err != nil {
			return err
		}
		n := 0
		var marks []tidings.UserMarked
		for user, ids := range marked {
			n += len(ids)
			marks = append(marks, tidings.UserMarked{User: user, Marked: tidings.Marked{Mark: m, IDs: ids}})
		}
		a.tellMarked(r.Context(), marks)
		return middleware.WriteJSON(w, http.StatusOK, changed{n})
	}
}

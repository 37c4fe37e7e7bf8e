package comet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// ticketLife is how long a ticket can be used: URLs end up in logs.
const ticketLife = 30 * time.Second

// authenticate tells whose request it is: by the token in the Authorization header, or by a ticket in the URL, because
// EventSource can send no header. A WebSocket's page sends the token among the subprotocols, which no log keeps. A token itself is never taken from a URL.
func (n *Node) authenticate(r *http.Request) (auth.Claims, error) {
	if ticket := r.URL.Query().Get("ticket"); ticket != "" && r.Header.Get("Authorization") == "" {
		return n.redeem(r.Context(), ticket)
	}
	return n.bearer(r)
}

func (n *Node) bearer(r *http.Request) (auth.Claims, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "" {
		scheme, token = "Bearer", socketToken(r)
	}
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return auth.Claims{}, tidings.Errorf(tidings.Unauthenticated, "send Authorization: Bearer with a user token")
	}
	claims, err := n.Tokens.Verify(strings.TrimSpace(token))
	if err != nil {
		return auth.Claims{}, err
	}
	return claims, nil
}

// serveTicket answers POST /comet/ticket: a word that stands for the token once, within ticketLife.
func (n *Node) serveTicket(w http.ResponseWriter, r *http.Request) error {
	claims, err := n.bearer(r)
	if err != nil {
		return err
	}
	if err := n.checkOrigin(w, r, claims); err != nil {
		return err
	}
	ticket := randomWord(32)
	content, err := json.Marshal(claims)
	if err != nil {
		return fmt.Errorf("issue a ticket: %w", err)
	}
	if err := n.Streams.redis.Set(r.Context(), ticketKey(ticket), content, ticketLife).Err(); err != nil {
		return unavailable(fmt.Errorf("issue a ticket: %w", err))
	}
	return middleware.WriteJSON(w, http.StatusOK, map[string]any{"ticket": ticket, "expires_in": int(ticketLife.Seconds())})
}

// redeem takes a ticket. Redis gives it out once.
func (n *Node) redeem(ctx context.Context, ticket string) (auth.Claims, error) {
	content, err := n.Streams.redis.GetDel(ctx, ticketKey(ticket)).Bytes()
	if errors.Is(err, redis.Nil) {
		return auth.Claims{}, tidings.Errorf(tidings.Unauthenticated, "the ticket is unknown, used or older than 30 s; get another")
	}
	if err != nil {
		return auth.Claims{}, unavailable(fmt.Errorf("redeem a ticket: %w", err))
	}
	var claims auth.Claims
	if err := json.Unmarshal(content, &claims); err != nil {
		return auth.Claims{}, fmt.Errorf("redeem a ticket: %w", err)
	}
	return claims, nil
}

// ticketKey is where a ticket lies: under its hash, so that who reads Redis' keys cannot use it.
func ticketKey(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return "ticket:" + hex.EncodeToString(sum[:])
}

// unavailable is what a client hears when Redis or SQL does not answer: come back soon, not all at once.
func unavailable(err error) error {
	return &tidings.Error{
		Code: tidings.Unavailable, Detail: "the connection cannot be served just now", After: retryAfter(), Err: err,
	}
}

package robot

import (
	"sync"
	"time"
)

const maxRobots = 10_000 // of which posts are remembered before those at rest are forgotten

// limiter lets each robot make n posts in any window of time. Providers count so, and punish one post too many.
type limiter struct {
	n      int
	window time.Duration

	mu    sync.Mutex
	posts map[string][]time.Time // the last ones of each robot, at most n
}

func newLimiter(n int, window time.Duration) *limiter {
	return &limiter{n: n, window: window, posts: map[string][]time.Time{}}
}

// take notes a post, or returns how long to wait for the next one.
func (l *limiter) take(robot string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := now.Add(-l.window)
	posts := l.posts[robot]
	for len(posts) > 0 && !posts[0].After(old) {
		posts = posts[1:]
	}
	if len(posts) >= l.n {
		return posts[0].Sub(old)
	}
	if len(l.posts) >= maxRobots {
		for name, ps := range l.posts {
			if !ps[len(ps)-1].After(old) {
				delete(l.posts, name)
			}
		}
	}
	l.posts[robot] = append(posts[:len(posts):len(posts)], now)
	return 0
}

package console

import "tidings/auth"

// TestedRoute is a route as tests see it.
type TestedRoute struct {
	Method, Path string
	Act          auth.Action
}

// RoutesOf lists the routes for people.
func RoutesOf(c *Console) []TestedRoute {
	var rs []TestedRoute
	for _, r := range c.routes() {
		rs = append(rs, TestedRoute{r.method, r.path, r.act})
	}
	return rs
}

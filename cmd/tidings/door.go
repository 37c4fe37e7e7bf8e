package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidings/middleware"
)

// listen opens a door. The address is what was asked for, with the port that was found free for port 0.
func (p *process) listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil && strings.Contains(err.Error(), "address already in use") {
		return nil, errors.New(address + " is in use by another program; choose another address with --listen (or --admin-listen)")
	}
	return l, err
}

// newServer is what answers at every door.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second, // whoever sends headers slower holds a connection for nothing
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          nil,
	}
}

// serve answers on the listeners until the process stops: it takes no new requests then and finishes those under way.
func (p *process) serve(name string, h http.Handler, listeners ...net.Listener) {
	p.serveWith(name, newServer(h), listeners...)
}

func (p *process) serveWith(name string, s *http.Server, listeners ...net.Listener) {
	for _, l := range listeners {
		go p.answer(s, l)
	}
	p.onStop(name, func(ctx context.Context) error {
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			return errors.Join(err, s.Close())
		}
		return nil
	})
}

func (p *process) answer(s *http.Server, l net.Listener) {
	if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		p.failed(err)
	}
}

// serveAdmin opens the loopback door: metrics, health and pprof.
func (p *process) serveAdmin(fallback string) error {
	l, err := p.listen(or(p.cfg.AdminListen, fallback))
	if err != nil {
		return err
	}
	p.serveAdminOn(l)
	return nil
}

func (p *process) serveAdminOn(l net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	p.healthRoutes(mux)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	p.serve("admin door", mux, l)
	p.log.Info("admin door open", "address", l.Addr().String())
}

// healthRoutes serves /healthz (the process answers) and /readyz (it can do its work).
func (p *process) healthRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !p.up.Load() { // the door is open before all that is looked at is there
			http.Error(w, "not ready: start", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		for name, check := range p.ready {
			if err := check(ctx); err != nil {
				p.log.Warn("not ready", "check", name, "err", err)
				http.Error(w, "not ready: "+name, http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = w.Write([]byte("ready\n"))
	})
}

// newDoor is what a group of routes shares. A door that holds requests open has no limit of those under way.
func (p *process) newDoor(name string, inFlight int) *middleware.Door {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tidings_http_seconds", Help: "From a request's headers to its answer, by route and status.",
		ConstLabels: prometheus.Labels{"door": name}, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	}, []string{"route", "status"})
	p.registry.MustRegister(took)
	return middleware.NewDoor(middleware.Config{
		Logger:      p.log,
		Origins:     func(ctx context.Context, origin string) bool { return p.auth.OriginAllowed(ctx, origin, "") },
		MaxInFlight: inFlight, TrustedProxies: p.proxies,
		Observe: func(pattern string, status int, d time.Duration) {
			took.WithLabelValues(pattern, strconv.Itoa(status)).Observe(d.Seconds())
		},
	})
}

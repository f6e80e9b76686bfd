// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/stats"
	"github.com/gatecast/gatecast/stats/metrics"

	"github.com/valyala/fasthttp"
)

// Config configures a [Server]. Fields are required unless they name a default.
type Config struct {
	NodeID    string
	Version   string
	StartedAt time.Time

	// MaxPayload is the largest JSON of one event, in bytes.
	MaxPayload int

	// Admin identifies the holder of an admin token. Identify must take the
	// same time for every wrong token.
	Admin interface {
		Identify(presented []byte) (auth.Admin, bool)
	}

	// What the routes read and change.
	Log         Log
	Registry    Registry
	Connections Connections
	Events      Events
	Failures    Failures
	Messages    Messages

	// RevokeVerified ends, on every node, what the platform or a signed token
	// said about a gateway. Nil: only the registry verifies tokens (neither
	// --verify-url nor --jwt-keys).
	RevokeVerified func(ctx context.Context, gatewayID string) error

	// Types checks payloads by event type. Nil: payloads are not checked.
	Types Types

	// Tracer makes spans of publishes. Nil: no tracing.
	Tracer Tracer

	// Cluster asks the other nodes. Nil: this is the only node.
	Cluster Cluster
	// Missed is called after the log has stored an event for which some
	// gateways have no connection. It must not block. Nil: not reported.
	Missed func(Missed)

	// Counters of this node.
	Shards  []*stats.Shard
	Node    *metrics.Node
	Metrics http.Handler // answers GET /metrics

	// Ready returns nil if the node can accept gateways and reach its log, else
	// the reason.
	Ready func(ctx context.Context) error

	// TempDir holds the unlinked temporary files in which the answers of bulk
	// publishes wait for slow clients. Empty: [os.TempDir].
	TempDir string

	Logger *slog.Logger     // nil logs nothing
	Now    func() time.Time // nil is time.Now
}

// limits are the time that clients have and the bounds on what they can make
// the server hold. A Server has its own copy, so that tests need not wait for
// the real ones.
type limits struct {
	read    time.Duration // to send a whole request; newline-delimited JSON has stall instead
	write   time.Duration // to take a response, or one piece of a streamed response
	idle    time.Duration // between two requests; longer than the usual 60 s of load balancers
	stall   time.Duration // between two reads of newline-delimited JSON
	drain   time.Duration // for newline-delimited JSON after Shutdown has begun
	manage  time.Duration // for the registry to store a change
	imports time.Duration // for the registry to store a line of an import
	query   time.Duration // for the log to answer a query
	nodes   time.Duration // for other nodes to answer

	answerFiles int64 // bytes of bulk answers in temporary files, all requests together
	longPolls   int64 // requests that wait for a message at the same time
}

var defaultLimits = limits{
	read:    30 * time.Second,
	write:   30 * time.Second,
	idle:    3 * time.Minute,
	stall:   5 * time.Minute,
	drain:   time.Second,
	manage:  10 * time.Second,
	imports: 30 * time.Second, // many lines share the disk
	query:   10 * time.Second,
	nodes:   2 * time.Second,

	answerFiles: 1 << 30, // receipts of about six million lines
	longPolls:   512,
}

// A Server serves the internal listener. Any goroutine may call its methods.
type Server struct {
	// Constant after New.
	cfg      Config
	limits   limits
	http     *fasthttp.Server
	ctx      context.Context // of all work for requests; ends at the end of Shutdown
	cancel   context.CancelFunc
	pollCtx  context.Context // of long polls; ends at the start of Shutdown
	endPolls context.CancelFunc

	// Guarded by their own locks, or atomic.
	receipts        receipts
	answerFileBytes atomic.Int64 // bytes of bulk answers in temporary files
	longPolls       atomic.Int64 // requests that wait for a message
	gate            gate         // every event passes it on the way to the log; closed by StopPublishing
	draining        atomic.Bool  // set when Shutdown begins
	conns           connSet      // listeners and connections
}

// New returns a server. It starts nothing: call [Server.Serve].
func New(cfg Config) *Server { return newServer(cfg, defaultLimits) }

func newServer(cfg Config, l limits) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, limits: l}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pollCtx, s.endPolls = context.WithCancel(s.ctx)
	// withSecurityHeaders is outermost, so that also the answer to a panic has
	// the headers.
	s.http = &fasthttp.Server{
		Handler:      withSecurityHeaders(s.guard(s.router().Handler)),
		ErrorHandler: s.badRequest,
		ConnState:    s.conns.stateChanged,
		Logger:       serverLog{cfg.Logger},

		ReadTimeout:    l.read,
		WriteTimeout:   l.write,
		IdleTimeout:    l.idle,
		ReadBufferSize: 8 << 10, // also the limit for the request line and headers

		// Handlers read bodies themselves, because each knows its limit.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true, // headers hold admin tokens: never log them
		NoDefaultServerHeader:        true,
	}
	return s
}

// Serve serves the connections of ln, which may be a TLS listener. It returns
// nil after [Server.Shutdown], also when Shutdown was called first.
func (s *Server) Serve(ln net.Listener) error {
	// Both fasthttp and connSet close the listener.
	ln = &onceListener{Listener: ln}
	if !s.conns.listen(ln) {
		return ln.Close()
	}
	return s.http.Serve(&checkedListener{ln, s.headRules()})
}

// StopPublishing refuses new publishes (503 draining). It returns when the log
// has answered those in progress, or when ctx ends. All other requests are
// answered as before.
func (s *Server) StopPublishing(ctx context.Context) error {
	s.gate.close()
	return s.gate.wait(ctx)
}

// Shutdown closes the listeners and waits for the requests in progress. Long
// polls are answered at once, without messages. A bulk publish gets answers for
// the lines that were read; lines that arrive later, within one second, are
// refused one by one. When ctx ends first, the remaining connections are cut
// off and an error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	// The order matters. First no new event enters; then draining is set,
	// before deadlines are changed (see bulk.setReadDeadline); then everything
	// that waits is woken.
	s.gate.close()
	s.draining.Store(true)
	s.endPolls()
	s.conns.drain(time.Now().Add(s.limits.drain))
	err := s.http.ShutdownWithContext(ctx)
	s.cancel()
	if err != nil {
		s.conns.closeAll(s.limits.drain)
		return fmt.Errorf("requests still in progress were cut off: %w", err)
	}
	return nil
}

// A serverLog passes fasthttp's own log lines to the node's logger.
type serverLog struct{ *slog.Logger }

func (l serverLog) Printf(format string, args ...any) {
	l.Warn("internal listener: http server reports a problem", "error", fmt.Sprintf(format, args...))
}

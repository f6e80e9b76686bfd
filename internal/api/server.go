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
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
	"github.com/gatecast/gatecast/stats/metrics"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// A Log takes events and orders them. The body is what [event.Event.AppendBody]
// made; it is the log's from then on.
type Log interface {
	// AppendAsync returns before the log has the event. Events of one caller are
	// ordered as it called.
	AppendAsync(ev *event.Event, body []byte) (Pending, error)
}

// A Pending is an append that has begun. Any goroutine may use it.
type Pending interface {
	// Wait returns when the log has the event, and the same whenever it is called.
	Wait(ctx context.Context) (event.Cursor, error)
	// Duplicate reports, after Wait, whether the log has taken an event with the
	// same idempotency key before. Wait's place is that event's then, and this
	// one is not in the log.
	Duplicate() bool
}

// Types says what payloads events of a type may have.
type Types interface {
	// Check returns what is wrong with a payload, or with the type; nil for nothing.
	Check(eventType string, payload []byte) *event.FieldError
}

// A Registry knows the gateways and their tokens, as [auth.Registry] does.
type Registry interface {
	Add(ctx context.Context, g auth.NewGateway) (auth.Gateway, auth.Token, string, error)
	Get(id string) (auth.Gateway, bool)
	List(after string, limit int) (page []auth.Gateway, next string)
	Remove(ctx context.Context, id string) error
	AddToken(ctx context.Context, gatewayID string, expiresAt time.Time) (auth.Token, string, error)
	Tokens(gatewayID string) ([]auth.Token, error)
	RevokeToken(ctx context.Context, gatewayID, tokenID string) error
	Reach(t event.Target) (targets, connected int, unknown string)
	// CatchUp returns when the registry knows every change that was made on any node
	// before the call, else why it cannot tell.
	CatchUp(ctx context.Context) error
	Disconnected(t event.Target, limit int) (ids []string, total int)
}

// Connections knows the live connections.
type Connections interface {
	// Page returns up to limit connections, of one gateway unless gatewayID is
	// empty. Cursors are opaque: after is empty for the first page, and next is
	// empty when there is no other. A cursor that Page did not make gives an
	// error that wraps [ErrCursor].
	Page(ctx context.Context, gatewayID, after string, limit int) (page []stats.Connection, next string, err error)
	// CloseConnection closes one; found is false when there is none.
	CloseConnection(ctx context.Context, id uuid.UUID) (found bool, err error)
}

// Config is what a [Server] works with. Fields without a default are required.
type Config struct {
	NodeID    string
	Version   string
	StartedAt time.Time

	// MaxPayload bounds one event's JSON, in bytes.
	MaxPayload int

	// Admin knows the admin tokens. Identify takes the same time for any wrong one.
	Admin interface {
		Identify(presented []byte) (auth.Admin, bool)
	}

	Log         Log
	Registry    Registry
	Connections Connections
	Events      Events
	Failures    Failures
	Messages    Messages

	// EndVerified takes back, on every node, what the platform said of a gateway's
	// tokens; nil: the platform is not asked.
	RevokeVerified func(ctx context.Context, gatewayID string) error

	// Types checks the payloads of events by their types; nil: nobody does.
	Types Types

	// Tracer makes spans of publishes; nil: nobody does.
	Tracer Tracer

	// Cluster asks the other nodes; nil: there are none.
	Cluster Cluster
	// Missed is called when the log has an event that some of its gateways have no
	// connection for. It must not block. Nil: nobody wants to know.
	Missed func(Missed)

	Shards  []*stats.Shard
	Node    *metrics.Node
	Metrics http.Handler // answers GET /metrics

	// Ready returns why the node cannot accept gateways or reach its log, or
	// nil.
	Ready func(ctx context.Context) error

	// SpoolDir is where the answers of bulk publishes wait for clients that do not read
	// them yet, in files without a name; empty: the system's folder for temporary files.
	TempDir string

	Logger *slog.Logger     // nil logs nothing
	Now    func() time.Time // nil is time.Now
}

// Times that a client may take, and bounds on what it may send. They are
// variables of a Server so that tests need not wait.
type limits struct {
	read   time.Duration // for a whole request, but newline-delimited JSON
	write  time.Duration // for a response, or one piece of a streamed one
	idle   time.Duration // between requests; more than balancers' usual 60 s
	stall  time.Duration // between two reads of newline-delimited JSON
	drain  time.Duration // for newline-delimited JSON after Shutdown began
	manage time.Duration // for the registry to store a change
	query  time.Duration // for the log to find what was asked for
	nodes  time.Duration // for other nodes to answer

	spooled int64 // bytes of answers in files, of all bulk publishes together
	polls   int64 // requests that wait for something to happen
}

var defaultLimits = limits{
	read:   30 * time.Second,
	write:  30 * time.Second,
	idle:   3 * time.Minute,
	stall:  5 * time.Minute,
	drain:  time.Second,
	manage: 10 * time.Second,
	query:  10 * time.Second,
	nodes:  2 * time.Second,

	spooled: 1 << 30, // receipts of about six million lines
	polls:   512,
}

// A Server answers the internal listener. Its methods may be called from any
// goroutine.
type Server struct {
	// Constant after New.
	cfg    Config
	limits limits
	http   *fasthttp.Server
	ctx    context.Context // of the work on behalf of requests; ends with Shutdown
	cancel context.CancelFunc
	waits  context.Context // of waits for something to happen; ends when Shutdown begins
	drain  context.CancelFunc

	receipts receipts
	spooled  atomic.Int64 // bytes in the files of spools
	polls    atomic.Int64 // requests that wait for something to happen
	gate     gate         // that events pass to the log
	draining atomic.Bool  // set when Shutdown begins
	conns    connSet
}

// New returns a server that is ready to serve.
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
	s.waits, s.drain = context.WithCancel(s.ctx)
	s.http = &fasthttp.Server{
		Handler:      protected(s.guard(s.router().Handler)),
		ErrorHandler: s.badRequest,
		ConnState:    s.conns.changed,
		Logger:       serverLog{cfg.Logger},

		ReadTimeout:    l.read,
		WriteTimeout:   l.write,
		IdleTimeout:    l.idle,
		ReadBufferSize: 8 << 10, // and so the limit on a request's header

		// Bodies are read by the handlers, which know their limits.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		SecureErrorLogMessage:        true, // a header holds the admin token
		NoDefaultServerHeader:        true,
	}
	return s
}

// Serve answers the connections of ln, which may be a TLS listener. It returns
// nil after [Server.Shutdown], also when that came first.
func (s *Server) Serve(ln net.Listener) error {
	ln = &onceListener{Listener: ln}
	if !s.conns.listen(ln) {
		return ln.Close()
	}
	return s.http.Serve(&vettedListener{ln, s.rules()})
}

// StopPublishing refuses events from now on and returns when those under way
// are in the log, or ctx has ended. Everything else is answered as before.
func (s *Server) StopPublishing(ctx context.Context) error {
	s.gate.close()
	return s.gate.wait(ctx)
}

// Shutdown closes the listeners and returns when the requests under way are
// answered, or cut off. Those that wait for a message are told at once that there is none.
// Newline-delimited JSON is answered as far as it was read; lines
// that come later are refused one by one, for a second. When ctx ends first,
// what is left is cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.gate.close()
	s.draining.Store(true)
	s.drain()
	s.conns.drain(time.Now().Add(s.limits.drain))
	err := s.http.ShutdownWithContext(ctx)
	s.cancel()
	if err != nil {
		s.conns.closeAll(s.limits.drain)
		return fmt.Errorf("requests were cut off: %w", err)
	}
	return nil
}

// A serverLog is the logger that fasthttp wants.
type serverLog struct{ *slog.Logger }

func (l serverLog) Printf(format string, args ...any) {
	l.Warn("internal listener: " + fmt.Sprintf(format, args...))
}

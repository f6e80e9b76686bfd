// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
	"github.com/gatecast/gatecast/stats/metrics"
	"github.com/gatecast/gatecast/test/spectest"
	"github.com/gatecast/gatecast/test/testenv"

	"github.com/google/uuid"
)

const adminToken = "an-admin-token"

type admin string

func (a admin) Identify(presented []byte) (auth.Admin, bool) {
	switch string(presented) {
	case string(a):
		return auth.NewAdmin("root", auth.ScopeAdmin), true
	case "a-reader":
		return auth.NewAdmin("reader", auth.ScopeRead), true
	case "another-admin-token": // of an admin of the same name
		return auth.NewAdmin("root", auth.ScopeAdmin), true
	case "a-publisher":
		return auth.NewAdmin("publisher", auth.ScopePublish), true
	}
	return auth.Admin{}, false
}

// A rig is a server on a real socket with fakes for everything it uses.
type rig struct {
	*Server
	t        testing.TB
	addr     string
	client   *http.Client
	log      *fakeLog
	registry *fakeRegistry
	conns    *fakeConnections
	failures *fakeFailures
	messages *fakeMessages
	logs     *testenv.Log // fails the test if a secret is in it

	mu     sync.Mutex
	missed []Missed
}

// reportedMissed returns the events that the server reported as missed by gateways.
func (r *rig) reportedMissed() []Missed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.missed)
}

// openConns returns the number of connections of the server.
func (r *rig) openConns() int {
	s := &r.Server.conns
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// waitForClients waits briefly until the server has noticed that its clients disconnected. While
// connections are open, fasthttp's shutdown checks only every 100 ms.
func (r *rig) waitForClients() {
	for end := time.Now().Add(20 * time.Millisecond); r.openConns() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// start starts a server that runs until the test ends. The changes are applied to its Config.
func start(t testing.TB, changes ...func(*Config, *limits)) *rig {
	t.Helper()
	r := &rig{
		t: t, log: &fakeLog{}, registry: newFakeRegistry(), conns: &fakeConnections{},
		failures: &fakeFailures{fakeList: fakeList{text: deliveryText}}, messages: &fakeMessages{fakeList: fakeList{text: messageText}}, logs: testenv.NewLog(t),
	}
	for _, secret := range []string{adminToken, "a-reader", "a-publisher", "secret-of"} {
		r.logs.Hide("a token", secret)
	}
	cfg := Config{
		NodeID: "n1", Version: "1.2.3", StartedAt: time.Unix(1000, 0), MaxPayload: 4096,
		Admin: admin(adminToken), Log: r.log, Registry: r.registry, Connections: r.conns,
		Events: r.log, Failures: r.failures, Messages: r.messages,
		Shards: []*stats.Shard{stats.NewShard(), stats.NewShard()}, Node: metrics.NewNode("1.2.3"),
		Ready:  func(context.Context) error { return nil },
		Logger: r.logs.Logger(),
		Now:    func() time.Time { return time.Unix(2000, 7) },
		Missed: func(m Missed) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.missed = append(r.missed, m)
		},
	}
	cfg.Metrics = metrics.Handler(metrics.NewRegistry(cfg.Node, cfg.Shards))
	l := defaultLimits
	for _, change := range changes {
		change(&cfg, &l)
	}
	r.Server = newServer(cfg, l)
	r.serve()
	return r
}

func (r *rig) serve() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	r.client = &http.Client{Transport: r.transport(), Timeout: 10 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- r.Serve(ln) }()
	r.t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.log.open()
		r.waitForClients()
		if err := r.Shutdown(context.Background()); err != nil {
			r.t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	})
}

// transport returns a transport that checks all answers against the OpenAPI document, except in
// benchmarks.
func (r *rig) transport() http.RoundTripper {
	if _, ok := r.t.(*testing.B); ok {
		return &http.Transport{}
	}
	return &spectest.Transport{T: r.t, Base: &http.Transport{}}
}

// A reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
}

// request makes a request with the admin token.
func (r *rig) request(method, path string, body io.Reader) *http.Request {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	return req
}

func (r *rig) send(req *http.Request) reply {
	r.t.Helper()
	got, err := r.try(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// try is send for goroutines other than the test's.
func (r *rig) try(req *http.Request) (reply, error) {
	resp, err := r.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, strings.TrimSuffix(string(b), "\n")}, err
}

func (r *rig) do(method, path, body string) reply {
	r.t.Helper()
	return r.send(r.request(method, path, strings.NewReader(body)))
}

// bulk publishes newline-delimited JSON and returns the lines of the answer.
func (r *rig) bulk(body io.Reader) []string {
	r.t.Helper()
	req := r.request("POST", prefix+"/events", body)
	req.Header.Set("Content-Type", typeNDJSON)
	got := r.send(req)
	if got.status != http.StatusOK || got.header.Get("Content-Type") != typeNDJSON {
		r.t.Fatalf("status %d, type %q: %s", got.status, got.header.Get("Content-Type"), got.body)
	}
	if got.body == "" {
		return nil
	}
	return strings.Split(got.body, "\n")
}

// A fakeRegistry is a registry in a map.
type fakeRegistry struct {
	mu         sync.Mutex
	gateways   map[string]auth.Gateway
	tokens     map[string][]auth.Token
	fail       error
	catchUpErr error // of CatchUp
}

func newFakeRegistry() *fakeRegistry {
	r := &fakeRegistry{gateways: map[string]auth.Gateway{}, tokens: map[string][]auth.Token{}}
	for _, id := range []string{"g1", "g2", "g3"} {
		r.gateways[id] = auth.Gateway{ID: id, Name: "name of " + id, Groups: []string{"all-of-them"}, CreatedAt: time.Unix(500, 0)}
	}
	return r
}

var errTaken = fmt.Errorf("the id is taken: %w", auth.ErrConflict)

func (r *fakeRegistry) Add(_ context.Context, n auth.NewGateway) (auth.Gateway, auth.Token, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return auth.Gateway{}, auth.Token{}, "", r.fail
	}
	if n.Name == "" {
		return auth.Gateway{}, auth.Token{}, "", &event.FieldError{Field: "name", Problem: "is missing"}
	}
	id := cmp.Or(n.ID, "made-up")
	if _, ok := r.gateways[id]; ok {
		return auth.Gateway{}, auth.Token{}, "", errTaken
	}
	g := auth.Gateway{ID: id, Name: n.Name, OrganizationID: n.OrganizationID, Groups: n.Groups, CreatedAt: time.Unix(600, 0)}
	r.gateways[id] = g
	return g, auth.Token{ID: "t1"}, "secret-of-" + id, nil
}

func (r *fakeRegistry) Export(string, int) ([]auth.ExportedGateway, string) { return nil, "" }

func (r *fakeRegistry) BeginImport(context.Context) (*auth.Import, error) {
	if r.catchUpErr != nil {
		return nil, r.catchUpErr
	}
	return nil, errTaken
}

func (r *fakeRegistry) Get(id string) (auth.Gateway, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.gateways[id]
	return g, ok
}

func (r *fakeRegistry) List(after string, limit int) (page []auth.Gateway, next string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.gateways {
		if g.ID > after {
			page = append(page, g)
		}
	}
	slices.SortFunc(page, func(a, b auth.Gateway) int { return strings.Compare(a.ID, b.ID) })
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ID
	}
	return page, next
}

func (r *fakeRegistry) Remove(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	if _, ok := r.gateways[id]; !ok {
		return fmt.Errorf("gateway %s: %w", id, auth.ErrNotFound)
	}
	delete(r.gateways, id)
	return nil
}

func (r *fakeRegistry) AddToken(_ context.Context, id string, expiresAt time.Time) (auth.Token, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return auth.Token{}, "", r.fail
	}
	if _, ok := r.gateways[id]; !ok {
		return auth.Token{}, "", fmt.Errorf("gateway %s: %w", id, auth.ErrNotFound)
	}
	if len(r.tokens[id]) == auth.MaxTokens {
		return auth.Token{}, "", auth.ErrTooManyTokens
	}
	tok := auth.Token{ID: fmt.Sprintf("t%d", len(r.tokens[id])+1), CreatedAt: time.Unix(700, 0), ExpiresAt: expiresAt}
	r.tokens[id] = append(r.tokens[id], tok)
	return tok, "secret-of-" + id, nil
}

func (r *fakeRegistry) Tokens(id string) ([]auth.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.gateways[id]; !ok {
		return nil, fmt.Errorf("gateway %s: %w", id, auth.ErrNotFound)
	}
	return r.tokens[id], nil
}

func (r *fakeRegistry) RevokeToken(_ context.Context, id, tokenID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	i := slices.IndexFunc(r.tokens[id], func(t auth.Token) bool { return t.ID == tokenID })
	if i < 0 {
		return fmt.Errorf("token %s: %w", tokenID, auth.ErrNotFound)
	}
	r.tokens[id] = slices.Delete(r.tokens[id], i, i+1)
	return nil
}

func (r *fakeRegistry) CatchUp(context.Context) error { return r.catchUpErr }

// Reach says that only gateway g1 is connected.
func (r *fakeRegistry) Reach(t event.Target) (targets, connected int, unknown string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := t.GatewayIDs
	if t.All || t.Group == "all-of-them" || t.OrganizationID == "acme" {
		ids = []string{"g1", "g2", "g3"}
	}
	for _, id := range ids {
		if _, ok := r.gateways[id]; !ok {
			return 0, 0, id
		}
		targets++
		if id == "g1" {
			connected++
		}
	}
	return targets, connected, ""
}

// Disconnected says that all of a target but g1 are disconnected.
func (r *fakeRegistry) Disconnected(t event.Target, limit int) (ids []string, total int) {
	targets, connected, _ := r.Reach(t)
	for i := range targets - connected {
		if total++; len(ids) < limit {
			ids = append(ids, fmt.Sprintf("g%d", i+2))
		}
	}
	return ids, total
}

// fakeConnections has n invented connections.
type fakeConnections struct {
	mu     sync.Mutex
	n      int
	fail   error // of every page
	failAt int   // of the page that begins here, if not 0
	most   int   // the longest page that was asked for
	closed []uuid.UUID
}

func (c *fakeConnections) set(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = n
}

func fakeConnectionID(i int) (u uuid.UUID) {
	u[0], u[13], u[14], u[15] = 1, byte(i>>16), byte(i>>8), byte(i)
	return u
}

func (c *fakeConnections) Page(_ context.Context, gatewayID, after string, limit int) (page []stats.Connection, next string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = max(c.most, limit)
	var begin int
	if after != "" {
		if _, err := fmt.Sscanf(after, "at-%d", &begin); err != nil {
			return nil, "", fmt.Errorf("%q is %w", after, ErrCursor)
		}
	}
	if c.fail != nil || c.failAt > 0 && begin >= c.failAt {
		return nil, "", cmp.Or(c.fail, errors.New("a shard is gone"))
	}
	end := min(begin+limit, c.n)
	for i := begin; i < end; i++ {
		page = append(page, stats.Connection{
			GatewayID: cmp.Or(gatewayID, "g1"), ConnectionID: fakeConnectionID(i), Status: "connected",
			ConnectedAt: time.Unix(1500, 0), LastHeartbeat: time.Unix(1900, 0), RemoteAddr: netip.MustParseAddrPort("192.0.2.1:4000"),
			Cursor: event.Cursor{Epoch: fakeEpoch, Seq: 7},
		})
	}
	if end < c.n {
		next = fmt.Sprintf("at-%d", end)
	}
	return page, next, nil
}

func (c *fakeConnections) CloseConnection(_ context.Context, id uuid.UUID) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return false, c.fail
	}
	c.closed = append(c.closed, id)
	return int(id[15]) < c.n, nil
}

// until waits until a condition holds that another goroutine brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

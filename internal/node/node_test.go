// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/coder/websocket"
)

func TestEventReachesEveryReplica(t *testing.T) {
	for _, plaintext := range []bool{false, true} {
		t.Run(fmt.Sprintf("plaintext=%v", plaintext), func(t *testing.T) {
			cfg := config(t)
			cfg.Plaintext = plaintext
			s := start(t, cfg)
			eu, _ := s.gateway("eu", "prod")
			us, _ := s.gateway("us")
			a, b, c := s.connect(eu), s.connect(eu), s.connect(us)
			if a.ack["gatewayId"] != "eu" || a.ack["connectionId"] == b.ack["connectionId"] || a.ack["resumed"] != false {
				t.Errorf("acks %v, %v", a.ack, b.ack)
			}
			first := s.publish("eu", `{"api":"weather"}`)
			second := s.publish("us", `1`)
			for _, r := range []*replica{a, b} {
				e := r.next()
				if e["id"] != first || e["type"] != "api.deployed" || e["gatewayId"] != "eu" || e["correlationId"] == "" {
					t.Errorf("event %v", e)
				}
				if _, err := time.Parse(event.TimeFormat, e["timestamp"].(string)); err != nil {
					t.Error(err)
				}
			}
			c.expect(second)
			var group, all struct {
				ID                 string
				Targets, Connected int
			}
			s.call("POST", root+"/events", `{"group":"prod","type":"t"}`, &group)
			s.call("POST", root+"/events", `{"all":true,"type":"t"}`, &all)
			if group.Targets != 1 || group.Connected != 1 || all.Targets != 2 || all.Connected != 2 {
				t.Errorf("receipts %+v, %+v", group, all)
			}
			a.expect(group.ID, all.ID)
			b.expect(group.ID, all.ID)
			c.expect(all.ID)
		})
	}
}

// Ten thousand events of several gateways arrive at each connection in order,
// none missing, none twice, published in bulk and one by one at once.
func TestOrder(t *testing.T) {
	s := start(t, config(t))
	const gateways, each = 4, 2500
	var replicas []*replica
	for g := range gateways {
		token, _ := s.gateway(fmt.Sprint("g", g))
		replicas = append(replicas, s.connect(token), s.connect(token))
	}
	var publishers sync.WaitGroup
	for g := range gateways {
		publishers.Go(func() {
			if g == 0 { // the others in bulk
				for n := range each {
					s.publish("g0", fmt.Sprint(n))
				}
				return
			}
			var lines strings.Builder
			for n := range each {
				fmt.Fprintf(&lines, `{"gatewayId":"g%d","type":"t","payload":%d}`+"\n", g, n)
			}
			if status := s.call("POST", root+"/events", lines.String(), nil); status != 200 {
				t.Errorf("bulk: %d", status)
			}
		})
	}
	for i, r := range replicas {
		var last event.Cursor
		for n := range each {
			e := r.next()
			id, err := event.ParseCursor(e["id"].(string))
			if err != nil || id.Seq <= last.Seq || e["payload"] != float64(n) {
				t.Fatalf("replica %d, event %d: %v after %v (%v)", i, n, e, last, err)
			}
			last = id
		}
	}
	publishers.Wait()
}

func TestRevokeAndRemove(t *testing.T) {
	s := start(t, config(t))
	token, id := s.gateway("g")
	var second struct{ ID, Token string }
	s.call("POST", root+"/gateways/g/tokens", `{}`, &second)
	a, b := s.connect(token), s.connect(second.Token)
	if status := s.call("DELETE", root+"/gateways/g/tokens/"+id, "", nil); status != 204 {
		t.Fatalf("revoke: %d", status)
	}
	if code := a.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("revoked: closed with %d", code)
	}
	b.expect(s.publish("g", `"still here"`))
	if _, resp, err := s.dial(token, ""); err == nil || resp.StatusCode != 401 {
		t.Error("a revoked token connects")
	}
	s.call("DELETE", root+"/gateways/g", "", nil)
	if code := b.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("removed: closed with %d", code)
	}
}

func TestTokenExpires(t *testing.T) {
	s := start(t, config(t))
	s.gateway("g")
	var token struct{ Token string }
	expires := time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	if status := s.call("POST", root+"/gateways/g/tokens", fmt.Sprintf(`{"expiresAt":%q}`, expires), &token); status != 201 {
		t.Fatalf("token: %d", status)
	}
	if code := s.connect(token.Token).closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

func TestCloseConnection(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("g")
	a, b := s.connect(token), s.connect(token)
	if status := s.call("DELETE", root+"/connections/"+a.ack["connectionId"].(string), "", nil); status != 204 {
		t.Fatalf("close: %d", status)
	}
	if code := a.closed(); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	b.expect(s.publish("g", `1`))
}

type statsAnswer struct {
	GatewayConnections struct {
		TotalActive int
		Connections []struct {
			GatewayID, ConnectionID, RemoteAddr, Status, Cursor string
			EventsSent, QueuedBytes                             int
		}
		Cursor string
	}
	EventDelivery struct{ TotalEventsSent, FailedDeliveries int }
}

func TestStats(t *testing.T) {
	s := start(t, config(t))
	for g := range 7 {
		token, _ := s.gateway(fmt.Sprint("g", g))
		s.connect(token)
		s.connect(token)
	}
	var all statsAnswer
	s.call("GET", root+"/stats", "", &all)
	if all.GatewayConnections.TotalActive != 14 || len(all.GatewayConnections.Connections) != 14 {
		t.Fatalf("stats %+v", all)
	}
	seen := map[string]bool{}
	for cursor, pages := "", 0; ; pages++ {
		var page statsAnswer
		s.call("GET", root+"/stats?limit=4&cursor="+cursor, "", &page)
		for _, c := range page.GatewayConnections.Connections {
			if seen[c.ConnectionID] || c.Status != "connected" || !strings.HasPrefix(c.RemoteAddr, "127.0.0.1:") {
				t.Errorf("connection %+v", c)
			}
			seen[c.ConnectionID] = true
		}
		if cursor = page.GatewayConnections.Cursor; cursor == "" {
			break
		}
		if pages > 20 {
			t.Fatal("the pages do not end")
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d connections on the pages, want 14", len(seen))
	}
	var one statsAnswer
	s.call("GET", root+"/stats?gatewayId=g3", "", &one)
	if len(one.GatewayConnections.Connections) != 2 {
		t.Errorf("connections of one gateway: %+v", one.GatewayConnections)
	}
	if status := s.call("GET", root+"/stats?limit=4&cursor=nonsense", "", nil); status != 400 {
		t.Errorf("a bad cursor: %d", status)
	}
}

// A peer that does not read is cut off with 1013; the other replica of its
// gateway gets everything.
func TestSlowConsumer(t *testing.T) {
	cfg := config(t)
	cfg.SendQueueBytes = cfg.MaxPayload
	s := start(t, cfg)
	token, _ := s.gateway("g")
	slow, good := s.connect(token), s.connect(token)
	payload := `"` + strings.Repeat("x", 200_000) + `"`
	var ids []string
	// 12 MB are more than socket buffers and queue take.
	for len(ids) < 60 && !s.closing(2) {
		id := s.publish("g", payload)
		good.expect(id)
		ids = append(ids, id)
	}
	var got [][]byte // looked at later: a node that is kept waiting cuts the peer off
	for {
		// Without a look at the frames, which are those of good: the close is to be
		// answered in time.
		_, b, err := slow.Conn.Read(context.Background())
		if err != nil {
			if code := websocket.CloseStatus(err); code != websocket.StatusTryAgainLater {
				t.Errorf("closed with %d (%v), want 1013", code, err)
			}
			break
		}
		got = append(got, b)
	}
	for i, b := range got {
		var e struct{ ID string }
		if json.Unmarshal(b, &e) != nil || e.ID != ids[i] {
			t.Fatalf("event %d is %.100s, want %s", i, b, ids[i])
		}
	}
	if len(got) == len(ids) {
		t.Error("the slow one got everything; the test shows nothing")
	}
}

// closing reports whether one of so many connections is being closed, or is.
func (s *system) closing(many int) bool {
	var now statsAnswer
	s.call("GET", root+"/stats", "", &now)
	for _, c := range now.GatewayConnections.Connections {
		if c.Status == "closing" {
			return true
		}
	}
	return len(now.GatewayConnections.Connections) < many
}

func TestRestartContinues(t *testing.T) {
	cfg := config(t)
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	token, _ := s.gateway("g")
	before, err := event.ParseCursor(s.publish("g", `1`))
	if err != nil {
		t.Fatal(err)
	}
	s.drain()
	s = start(t, cfg)
	r := s.connect(token) // the registry is back, too
	if r.ack["cursor"] != before.String() {
		t.Errorf("the connection begins at %v, want %v", r.ack["cursor"], before)
	}
	after, err := event.ParseCursor(s.publish("g", `2`))
	if err != nil || after.Epoch <= before.Epoch || after.Seq != before.Seq+2 { // a marker lies between
		t.Errorf("the event after %v is %v", before, after)
	}
	r.expect(after.String())
}

// What is published before a drain is delivered before the close frame.
func TestDrainFlushes(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("g")
	var replicas []*replica
	for range 20 {
		replicas = append(replicas, s.connect(token))
	}
	var ids []string
	for n := range 200 {
		ids = append(ids, s.publish("g", fmt.Sprint(n)))
	}
	drained := make(chan struct{})
	go func() { s.drain(); close(drained) }()
	for _, r := range replicas {
		r.expect(ids...)
		if code := r.closed(); code != websocket.StatusNormalClosure {
			t.Errorf("closed with %d", code)
		}
	}
	<-drained
}

// A peer that does not answer its close frame is cut off, and the drain is none the
// worse for it.
func TestDrainCutsOffTheSilent(t *testing.T) {
	cfg := config(t)
	cfg.ShutdownTimeout = 300 * time.Millisecond
	s := start(t, cfg)
	token, _ := s.gateway("g")
	s.connect(token) // it reads no more
	s.drain()        // fails the test on an error
	if n := s.front.Live(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

// Connections come and go and leave nothing behind.
func TestChurnLeavesNothing(t *testing.T) {
	t.Run("plaintext", func(t *testing.T) { testChurn(t, true, 10_000) })
	t.Run("TLS", func(t *testing.T) { testChurn(t, false, 1000) }) // the rest of 10,000 would be the clients' handshakes
}

func testChurn(t *testing.T, plaintext bool, total int) {
	if testing.Short() {
		total /= 20
	}
	cfg := config(t)
	cfg.Plaintext = plaintext
	s := start(t, cfg)
	token, _ := s.gateway("g")
	churn := func(n int) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range n / 8 {
					c, _, err := s.dial(token, "")
					if err != nil {
						t.Error(err)
						return
					}
					if _, _, err := c.Read(context.Background()); err != nil {
						t.Error(err)
					}
					c.Close(websocket.StatusNormalClosure, "")
				}
			})
		}
		wg.Wait()
		s.settle()
	}
	churn(80)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	churn(total)
	if n := openDescriptors(t); n > descriptors+10 {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
	if n := runtime.NumGoroutine(); n > goroutines+10 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	var st statsAnswer
	s.call("GET", root+"/stats", "", &st)
	if st.GatewayConnections.TotalActive != 0 {
		t.Errorf("%d connections left", st.GatewayConnections.TotalActive)
	}
}

// settle waits until no connection is left.
func (s *system) settle() {
	for s.front.Live() > 0 {
		time.Sleep(time.Millisecond) // a poll: the last of them has no event
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a PEM file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		change  func(*Config)
		setting string
		says    string
	}{
		{"used port", func(c *Config) { c.Listen = taken.Addr().String() }, "listen", "address already in use"},
		{"used internal port", func(c *Config) { c.InternalListen = taken.Addr().String() }, "internal-listen", "address already in use"},
		{"no address", func(c *Config) { c.Listen = "nowhere" }, "listen", "want HOST:PORT"},
		{"unwritable data folder", func(c *Config) { c.DataDir = filepath.Join(file, "data") }, "data-dir", "not a directory"},
		{"bad certificate", func(c *Config) { c.TLSCert, c.TLSKey = file, file }, "tls-cert", "no certificate in PEM"},
		{"certificate without key", func(c *Config) { c.TLSCert = file }, "tls-cert", "--tls-key"},
		{"bad admin token", func(c *Config) { c.AdminTokenFile = file; c.Plaintext = true }, "admin-token-file", ""},
		{"no connections", func(c *Config) { c.MaxConnections = 0 }, "max-connections", "at least 1"},
		{"too many connections", func(c *Config) { c.MaxConnections = 1 << 30 }, "max-connections", "descriptors"},
		{"timeout below ping", func(c *Config) { c.ConnectionTimeout = c.PingInterval }, "connection-timeout", "--ping-interval"},
		{"queue below payload", func(c *Config) { c.SendQueueBytes = c.MaxPayload - 1 }, "send-queue-bytes", "--max-payload"},
		{"unknown log", func(c *Config) { c.Log = "kafka" }, "log", "file, memory, or nats:"},
		{"sync of memory", func(c *Config) { c.LogSync = settings.SyncAlways }, "log-sync", "memory"},
		{"repair of memory", func(c *Config) { c.Repair = true }, "repair", "--log file"},
		{"records of nobody", func(c *Config) { c.TLSRecords = "openssl" }, "tls-records", "own or stdlib"},
		{"collector without a scheme", func(c *Config) { c.OTLPEndpoint = "127.0.0.1:4318" }, "otlp-endpoint", "http://HOST:PORT"},
		{"collector of another kind", func(c *Config) { c.OTLPEndpoint = "grpc://127.0.0.1:4317" }, "otlp-endpoint", "http://HOST:PORT"},
		{"collector without a host", func(c *Config) { c.OTLPEndpoint = "http://:4318" }, "otlp-endpoint", "http://HOST:PORT"},
		{"collector with no such port", func(c *Config) { c.OTLPEndpoint = "http://127.0.0.1:70000" }, "otlp-endpoint", "http://HOST:PORT"},
		{"collector with a password", func(c *Config) { c.OTLPEndpoint = "http://me:secret@127.0.0.1" }, "otlp-endpoint", "has a user"},
		{"more traces than publishes", func(c *Config) { c.TraceSample = 1.1 }, "trace-sample", "want 0 to 1"},
		{"fewer traces than none", func(c *Config) { c.TraceSample = -0.1 }, "trace-sample", "want 0 to 1"},
		{"a part that is no number", func(c *Config) { c.TraceSample = math.NaN() }, "trace-sample", "want 0 to 1"},
		{"bad close code", func(c *Config) { c.ShutdownCode = 1006 }, "shutdown-code", "1006"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(t)
			c.change(&cfg)
			n, err := Start(t.Context(), cfg)
			if err == nil {
				n.Drain(context.Background())
				t.Fatal("it starts")
			}
			ce, ok := errors.AsType[*settings.Error](err)
			if !ok || ce.Setting != c.setting || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error = %q, want one line about --%s that says %q", err, c.setting, c.says)
			}
		})
	}
}

// Two nodes do not share a data folder.
func TestDataFolderInUse(t *testing.T) {
	cfg := config(t)
	cfg.Log = settings.LogFile
	start(t, cfg)
	n, err := Start(t.Context(), cfg)
	if err == nil {
		n.Drain(context.Background())
		t.Fatal("a second node starts in the same folder")
	}
	if !strings.Contains(err.Error(), "another") {
		t.Errorf("error = %q", err)
	}
}

// A registry entry that cannot be read is skipped and named; it keeps nobody else out.
func TestCorruptRegistryEntry(t *testing.T) {
	cfg := config(t)
	cfg.Log = settings.LogFile
	s := start(t, cfg)
	bucket, err := s.store.Bucket(t.Context(), registryBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Create(t.Context(), "gateway.broken", []byte("{half")); err != nil {
		t.Fatal(err)
	}
	token, _ := s.gateway("whole")
	s.drain()
	again := start(t, cfg)
	again.connect(token)
	if status := again.call("GET", root+"/gateways/broken", "", nil); status != 404 {
		t.Errorf("GET of the gateway whose entry is broken: %d", status)
	}
	if !strings.Contains(again.logs.String(), "gateway.broken") {
		t.Errorf("no line names the entry in\n%s", again.logs)
	}
}

// What is logged names the gateway and the reason.
func TestLogs(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("g")
	r := s.connect(token)
	s.dial("gc_wrong-token", "")
	r.Close(websocket.StatusNormalClosure, "")
	s.settle()
	s.publish("g", `1`)
	s.drain()
	for level, want := range map[string]string{
		"connected": `"level":"INFO","msg":"gateway connected","gateway":"g"`, "disconnected": `"reason":"peer_closed"`,
		"refused": `"level":"WARN","msg":"credentials refused"`, "failed": `"level":"ERROR","msg":"delivery failed","gateway":"g","reason":"not_connected"`,
	} {
		if !strings.Contains(s.logs.String(), want) {
			t.Errorf("%s: no line with %s in\n%s", level, want, s.logs)
		}
	}
}

// While the node drains, publishers get 503 draining.
func TestPublishWhileDraining(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("g")
	r := s.connect(token)
	if err := s.api.StopPublishing(t.Context()); err != nil { // the drain's second step
		t.Fatal(err)
	}
	var refusal struct{ Error string }
	if status := s.call("POST", root+"/events", `{"all":true,"type":"t"}`, &refusal); status != 503 || refusal.Error != "draining" {
		t.Errorf("publish: %d %s, want 503 draining", status, refusal.Error)
	}
	if status := s.call("GET", "/health", "", nil); status != 200 {
		t.Errorf("health: %d", status)
	}
	drained := make(chan struct{})
	go func() { s.drain(); close(drained) }()
	if code := r.closed(); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	<-drained
}

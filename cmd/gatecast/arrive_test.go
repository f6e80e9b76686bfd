// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/node"
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/alecthomas/kong"
)

// A startingNode is a node that is not ready yet, and what it is asked.
type startingNode struct {
	*httptest.Server
	mu      sync.Mutex
	unready []int // statuses of /ready that come before 200
	asked   []string
	looks   chan struct{} // has a place for each time it was asked whether it is ready
}

func newStartingNode(t *testing.T, unready ...int) *startingNode {
	n := &startingNode{unready: unready, looks: make(chan struct{}, 1000)}
	n.Server = httptest.NewServer(http.HandlerFunc(n.answer))
	t.Cleanup(n.Close)
	return n
}

func (n *startingNode) answer(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.URL.Path == "/ready" {
		n.looks <- struct{}{}
		if len(n.unready) > 0 {
			w.WriteHeader(n.unready[0])
			n.unready = n.unready[1:]
		}
		return
	}
	n.asked = append(n.asked, r.Method+" "+r.URL.Path)
	io.Copy(io.Discard, r.Body)
	if len(n.unready) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "{}")
}

// adminToken writes a file with an admin token.
func adminToken(t *testing.T) string {
	return writeFile(t, "admin.token", strings.Repeat("x", 43)+"\n")
}

// Commands that change something wait until a node that is starting is ready, and ask it
// once. Those that only read do not wait for that.
func TestCommandsWaitForReady(t *testing.T) {
	token := adminToken(t)
	for _, tt := range []struct {
		args  []string
		asked string
		waits bool
	}{
		{[]string{"gateway", "add", "edge"}, "POST /api/internal/v1/gateways", true},
		{[]string{"gateway", "remove", "edge"}, "DELETE /api/internal/v1/gateways/edge", true},
		{[]string{"token", "add", "edge"}, "POST /api/internal/v1/gateways/edge/tokens", true},
		{[]string{"token", "revoke", "edge", "t"}, "DELETE /api/internal/v1/gateways/edge/tokens/t", true},
		{[]string{"publish", "--all", "--type", "t"}, "POST /api/internal/v1/events", true},
		{[]string{"publish", "--stdin"}, "POST /api/internal/v1/events", true},
		{[]string{"gateway", "list"}, "GET /api/internal/v1/gateways", false},
		{[]string{"gateway", "show", "edge"}, "GET /api/internal/v1/gateways/edge", false},
		{[]string{"token", "list", "edge"}, "GET /api/internal/v1/gateways/edge/tokens", false},
		{[]string{"stats"}, "GET /api/internal/v1/stats", false},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			n := newStartingNode(t, 503, 502, 504, 503)
			code, _, errs := gatecast("{}\n", append(tt.args, "--internal-url", n.URL, "--admin-token-file", token)...)
			if !slices.Equal(n.asked, []string{tt.asked}) {
				t.Errorf("the node is asked %q, want %s once", n.asked, tt.asked)
			}
			if looks := len(n.looks); tt.waits && (code != 0 || looks != 5) || !tt.waits && (code != 1 || looks != 1) {
				t.Errorf("exit %d after %d looks: %s", code, looks, errs)
			}
		})
	}
}

// A node that never is ready is asked once all the same: its answer says why.
func TestCommandsAskUnready(t *testing.T) {
	impatient(t)
	n := newStartingNode(t, slices.Repeat([]int{503}, 1000)...)
	code, _, errs := gatecast("", "publish", "--all", "--type", "t", "--internal-url", n.URL, "--admin-token-file", adminToken(t))
	if code != 1 || len(n.asked) > 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, the node is asked %q: %s", code, n.asked, errs)
	}
}

// A command that comes before the node waits for its token.
func TestCommandWaitsForToken(t *testing.T) {
	n := newStartingNode(t)
	token := filepath.Join(t.TempDir(), "admin.token")
	ended := make(chan string, 1)
	go func() {
		code, _, errs := gatecast("", "gateway", "add", "edge", "--internal-url", n.URL, "--admin-token-file", token)
		ended <- fmt.Sprint(code, errs)
	}()
	if err := os.Rename(adminToken(t), token); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got != "0" {
		t.Errorf("exit %s", got)
	}
}

// What is worth another look, and what is not.
func TestProbe(t *testing.T) {
	token := adminToken(t)
	open := adminToken(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and does not answer, as a node that opens its log
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct {
		name           string
		url, token     string
		changes, again bool
		says           string
	}{
		{"ready", newStartingNode(t).URL, token, true, false, ""},
		{"not ready, to change", newStartingNode(t, 503).URL, token, true, true, ""},
		{"not ready, to read", newStartingNode(t, 503).URL, token, false, false, ""},
		{"a proxy without that path", newStartingNode(t, 404).URL, token, true, false, ""},
		{"no token", newStartingNode(t).URL, "/nowhere", false, true, "is gatecast serve running"},
		{"a token for all", newStartingNode(t).URL, open, false, false, "chmod 600"},
		{"nobody there", "http://" + gone.Addr().String(), token, false, true, "is gatecast serve running"},
		{"no answer", "http://" + silent.Addr().String(), token, false, true, "may still be opening its log"},
		{"no URL", "http://a b", token, false, false, "--internal-url"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patience := 10 * time.Second
			if tt.name == "no answer" {
				patience = 10 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			f := &adminFlags{InternalURL: tt.url, AdminTokenFile: tt.token}
			again, err := f.probe(ctx, &internalRoute{url: tt.url, http: http.DefaultClient}, tt.changes)
			if again != tt.again || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("again %t, %v; want %t, %q", again, err, tt.again, tt.says)
			}
		})
	}
}

func TestCommandInterruptedWhileWaiting(t *testing.T) {
	n := newStartingNode(t, slices.Repeat([]int{503}, 1000)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c := gatewayRemoveCmd{adminFlags: adminFlags{InternalURL: n.URL, AdminTokenFile: adminToken(t)}, ID: "edge"}
		ended <- c.Run(ctx, world{})
	}()
	<-n.looks
	cancel()
	if err := <-ended; err == nil || len(n.asked) > 0 {
		t.Errorf("%v, the node is asked %q", err, n.asked)
	}
}

// A list is fetched page by page, to its end or the limit.
func TestGatewayListPages(t *testing.T) {
	const total = 2*listPage + 17
	var limits []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			return
		}
		limits = append(limits, r.FormValue("limit"))
		limit, _ := strconv.Atoi(r.FormValue("limit"))
		from, _ := strconv.Atoi(r.FormValue("cursor"))
		var page gatewayPage
		for i := from; i < min(from+limit, total); i++ {
			page.Gateways = append(page.Gateways, json.RawMessage(fmt.Sprintf(`{"id":"g%d"}`, i)))
		}
		if from+limit < total {
			page.Cursor = strconv.Itoa(from + limit)
		}
		json.NewEncoder(w).Encode(page)
	}))
	defer s.Close()
	token := adminToken(t)
	for _, tt := range []struct {
		name   string
		args   []string
		first  int
		listed int
		cursor string
		limits []string
	}{
		{"all", nil, 0, total, "", []string{"1000", "1000", "1000"}},
		{"some", []string{"--limit", "5"}, 0, 5, "5", []string{"5"}},
		{"more than a page", []string{"--limit", "1200"}, 0, 1200, "1200", []string{"1000", "200"}},
		{"from a cursor", []string{"--cursor", "1500"}, 1500, total - 1500, "", []string{"1000"}},
		{"more than there are", []string{"--limit", "9000"}, 0, total, "", []string{"1000", "1000", "1000"}},
		{"none", []string{"--cursor", strconv.Itoa(total)}, 0, 0, "", []string{"1000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits = nil
			code, out, errs := gatecast("", append([]string{"gateway", "list", "--internal-url", s.URL, "--admin-token-file", token}, tt.args...)...)
			var got struct {
				Gateways []struct{ ID string }
				Cursor   string
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Gateways == nil {
				t.Fatalf("exit %d, %v: %s", code, err, errs)
			}
			if len(got.Gateways) != tt.listed || got.Cursor != tt.cursor || !slices.Equal(limits, tt.limits) {
				t.Errorf("%d gateways, cursor %q, by %v; want %d, %q, %v", len(got.Gateways), got.Cursor, limits, tt.listed, tt.cursor, tt.limits)
			}
			for i, g := range got.Gateways {
				if g.ID != fmt.Sprint("g", tt.first+i) {
					t.Fatalf("gateway %d is %s", i, g.ID)
				}
			}
		})
	}
}

// Flags about one event contradict --stdin, whatever their values, and nothing is
// published.
func TestStdinContradictions(t *testing.T) {
	n := newStartingNode(t)
	for _, flag := range [][]string{
		{"--gateway", "edge"}, {"--group", "g"}, {"--all"}, {"--type", "t"}, {"--payload", "1"}, {"--payload", ""},
		{"--payload-file", "f"}, {"--key", "k"}, {"--correlation-id", "c"},
	} {
		args := append([]string{"publish", "--stdin", "--internal-url", n.URL, "--admin-token-file", adminToken(t)}, flag...)
		code, _, errs := gatecast("{}\n", args...)
		if code != 2 || !strings.Contains(errs, flag[0]) || !strings.Contains(errs, "--stdin") || strings.Count(errs, "\n") != 1 || len(n.asked) > 0 {
			t.Errorf("%v: exit %d, the node is asked %q: %s", flag, code, n.asked, errs)
		}
	}
}

// All client commands reach an internal route with a private certificate by
// --internal-ca, and by its variable.
func TestInternalCA(t *testing.T) {
	cert, key := selfSignedPair(t)
	o := newOperatorOf(t, func(c *node.Config) { c.InternalTLSCert, c.InternalTLSKey = cert, key })
	t.Setenv("GATECAST_INTERNAL_URL", "https://"+o.node.InternalAddr().String())
	for _, args := range [][]string{
		{"gateway", "add", "edge", "--id", "edge"}, {"gateway", "list"}, {"gateway", "show", "edge"}, {"token", "list", "edge"}, {"stats"},
		{"publish", "--gateway", "edge", "--type", "t"}, {"top", "--once"}, {"health"}, o.bench("--connections", "2"),
	} {
		if args[0] != "bench" { // which has --insecure
			if code, _, errs := gatecast("", args...); code != 1 || !strings.Contains(errs, "certificate") {
				t.Errorf("%v without the authority: exit %d: %s", args, code, errs)
			}
		}
		if code, _, errs := gatecast("", append(args, "--internal-ca", cert)...); code != 0 {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	t.Setenv("GATECAST_INTERNAL_CA", cert)
	o.text("stats")
	o.text("health")
	if code, _, errs := gatecast("", "stats", "--internal-ca", key); code != 1 || !strings.Contains(errs, "no certificate") {
		t.Errorf("a key for an authority: exit %d: %s", code, errs)
	}
}

// selfSignedPair returns the files of a certificate for loopback and its key, as a node
// makes them.
func selfSignedPair(t *testing.T) (cert, key string) {
	t.Helper()
	cfg := node.Defaults()
	cfg.Listen, cfg.InternalListen, cfg.DataDir, cfg.Log = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), settings.LogMemory
	n, err := node.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cfg.DataDir, "self-signed.crt"), filepath.Join(cfg.DataDir, "self-signed.key")
}

// The health check finds the node by serve's own settings.
func TestHealthFollowsSettings(t *testing.T) {
	cert, key := selfSignedPair(t)
	clear := newOperator(t)
	secure := newOperatorOf(t, func(c *node.Config) { c.InternalTLSCert, c.InternalTLSKey = cert, key })
	every := newOperatorOf(t, func(c *node.Config) { c.InternalListen = ":0" })
	port := func(o *operator) string {
		return strconv.Itoa(o.node.InternalAddr().(*net.TCPAddr).Port)
	}
	at := "127.0.0.1:" + port(clear)
	file := writeFile(t, "c.yaml", "internal-listen: 127.0.0.1:"+port(secure)+"\ninternal-tls-cert: "+cert+"\ninternal-tls-key: "+key+"\nmax-connections: 5\n")
	unready := newStartingNode(t, slices.Repeat([]int{503}, 100)...)
	const listen, url, config = "GATECAST_INTERNAL_LISTEN", "GATECAST_INTERNAL_URL", "GATECAST_CONFIG"
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		code int
	}{
		{"environment", map[string]string{listen: at}, nil, 0},
		{"flag", nil, []string{"--internal-listen", at}, 0},
		{"a name", map[string]string{listen: "localhost:" + port(clear)}, nil, 0},
		{"every address", map[string]string{listen: ":" + port(every)}, nil, 0},
		{"every IPv4 address", map[string]string{listen: "0.0.0.0:" + port(every)}, nil, 0},
		{"every IPv6 address", map[string]string{listen: "[::]:" + port(every)}, nil, 0},
		{"every address, where only IPv4 listens", map[string]string{listen: "[::]:" + port(clear)}, nil, 0},
		{"TLS", map[string]string{listen: "127.0.0.1:" + port(secure), "GATECAST_INTERNAL_TLS_CERT": cert, "GATECAST_INTERNAL_TLS_KEY": key}, nil, 0},
		{"TLS on every address", map[string]string{listen: ":" + port(secure), "GATECAST_INTERNAL_TLS_CERT": cert, "GATECAST_INTERNAL_TLS_KEY": key}, nil, 0},
		{"TLS by flags", nil, []string{"--internal-listen", "127.0.0.1:" + port(secure), "--internal-tls-cert", cert, "--internal-tls-key", key}, 0},
		{"TLS without saying so", map[string]string{listen: "127.0.0.1:" + port(secure)}, nil, 1},
		{"file", nil, []string{"--config", file}, 0},
		{"file by the environment", map[string]string{config: file}, nil, 0},
		{"the environment comes before the file", map[string]string{config: file, listen: "127.0.0.1:1"}, nil, 1},
		{"the flag comes before the environment", map[string]string{listen: "127.0.0.1:1"}, []string{"--internal-listen", at}, 0},
		{"the URL comes before the address", map[string]string{listen: "127.0.0.1:1", url: "http://" + at}, nil, 0},
		{"a flag comes before the URL in the environment", map[string]string{url: "http://127.0.0.1:1"}, []string{"--internal-listen", at}, 0},
		{"empty variables", map[string]string{listen: at, url: "", config: "", "GATECAST_INTERNAL_TLS_CERT": ""}, nil, 0},
		{"a proxy for others", map[string]string{listen: at, "HTTP_PROXY": "http://127.0.0.1:1"}, nil, 0},
		{"not ready", map[string]string{listen: unready.Listener.Addr().String()}, nil, 1},
		{"nobody there", map[string]string{listen: "127.0.0.1:1"}, nil, 1},
		{"a port of the system's choice", map[string]string{listen: "127.0.0.1:0"}, nil, 2},
		{"no address", map[string]string{listen: "nowhere"}, nil, 2},
		{"two places", nil, []string{"--internal-listen", at, "--internal-url", "http://" + at}, 2},
		{"an unknown key", nil, []string{"--config", writeFile(t, "c.yaml", "internal-lisen: x\n")}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(url, "")
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			code, _, errs := gatecast("", append([]string{"health"}, tt.args...)...)
			if code != tt.code || code != 0 && strings.Count(errs, "\n") != 1 {
				t.Errorf("exit %d, want %d: %s", code, tt.code, errs)
			}
		})
	}
}

// A variable that is set but empty is as if it were not set, for every flag of every
// command.
func TestEmptyVariables(t *testing.T) {
	parse := func(t *testing.T, args []string) cli {
		var c cli
		parser := newParser(&c, kong.Writers(io.Discard, io.Discard))
		unsetEmpty(parser.Model.Node)
		if _, err := parser.Parse(args); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return c
	}
	variables := make(map[string]bool)
	var gather func(n *kong.Node)
	gather = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, name := range f.Envs {
				variables[name] = true
			}
		}
		for _, child := range n.Children {
			gather(child)
		}
	}
	parser := newParser(new(cli))
	if gather(parser.Model.Node); !variables["GATECAST_CONFIG"] || !variables["WS_MAX_CONNECTIONS"] || !variables["GATECAST_INTERNAL_CA"] {
		t.Fatalf("variables %v", slices.Sorted(maps.Keys(variables)))
	}
	for _, args := range [][]string{
		{"serve"}, {"health"}, {"demo"}, {"gateway", "add", "x"}, {"gateway", "list"}, {"gateway", "show", "x"}, {"gateway", "remove", "x"},
		{"token", "add", "x"}, {"token", "list", "x"}, {"token", "revoke", "x", "y"}, {"publish", "--all", "--type", "t"},
		{"tail", "--url", "wss://x", "--token", "t"}, {"stats"}, {"top"}, {"bench", "--url", "wss://x"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			want := fmt.Sprintf("%+v", parse(t, args))
			for name := range variables {
				t.Setenv(name, "")
			}
			if got := fmt.Sprintf("%+v", parse(t, args)); got != want {
				t.Errorf("with empty variables\n%s\nwithout\n%s", got, want)
			}
		})
	}
	t.Run("required all the same", func(t *testing.T) {
		t.Setenv("GATECAST_TOKEN", "")
		if code, _, errs := gatecast("", "tail", "--url", "wss://x"); code != 2 || !strings.Contains(errs, "--token") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
}

// A program is gatecast in a process of its own.
type program struct {
	*exec.Cmd
	lines *bufio.Scanner // of standard error
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], args...)}
	p.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(stderr)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// says reads the log up to a line that says something.
func (p *program) says(t *testing.T, what string) {
	t.Helper()
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), what) {
			return
		}
	}
	t.Fatalf("nothing says %q: %v", what, p.lines.Err())
}

func (p *program) signal(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// end reads the rest of the log and returns how the program has ended.
func (p *program) end() syscall.WaitStatus {
	for p.lines.Scan() {
	}
	_ = p.Wait()
	return p.ProcessState.Sys().(syscall.WaitStatus)
}

// SIGTERM ends a node that is starting with 0, and a second one ends it at once.
func TestStopDuringStart(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	serve := func(t *testing.T, log string) *program {
		return startProgram(t, "serve", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--data-dir", t.TempDir(),
			"--log", log, "--log-format", "json")
	}
	t.Run("while NATS says nothing", func(t *testing.T) {
		p := serve(t, "nats://"+silent.Addr().String())
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.signal(t)
		p.says(t, "stopping during the start")
		_ = c.Close() // and the start goes on
		if status := p.end(); !status.Exited() || status.ExitStatus() != 0 {
			t.Errorf("%v", p.ProcessState)
		}
	})
	t.Run("twice", func(t *testing.T) {
		p := serve(t, "nats://"+silent.Addr().String())
		c, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p.signal(t)
		p.says(t, "stopping during the start")
		p.signal(t)
		if status := p.end(); !status.Signaled() || status.Signal() != syscall.SIGTERM {
			t.Errorf("%v", p.ProcessState)
		}
	})
	t.Run("at any moment", func(t *testing.T) {
		for pause := time.Duration(0); pause < 200*time.Millisecond; pause += 20 * time.Millisecond {
			p := serve(t, "file")
			p.says(t, "self-signed") // the log is open, and the node about to serve
			timer := time.NewTimer(pause)
			<-timer.C
			p.signal(t)
			if status := p.end(); !status.Exited() || status.ExitStatus() != 0 {
				t.Errorf("after %v: %v", pause, p.ProcessState)
			}
		}
	})
	t.Run("before it starts", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cfg := node.Defaults()
		cfg.Listen, cfg.InternalListen, cfg.DataDir, cfg.Logger = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler)
		if n, err := startNode(ctx, cfg); n != nil || err != nil {
			t.Errorf("%v, %v", n, err)
		}
	})
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/coder/websocket"
)

// A verifier is a platform that verifies tokens.
type verifier struct {
	*httptest.Server
	t testing.TB

	mu     sync.Mutex
	says   map[string]string // the answer by token; none is 401
	every  string            // the answer for all others; constant
	asked  map[string]int
	before func() // called ahead of an answer
}

func newVerifier(t testing.TB) *verifier {
	v := &verifier{t: t, says: make(map[string]string), asked: make(map[string]int), before: func() {}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *verifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var q map[string]string
	if err := json.Unmarshal(b, &q); err != nil || r.Method != "POST" || len(q) != 1 || r.Header.Get("Content-Type") != "application/json" {
		v.t.Errorf("asked %s %q with %v", r.Method, b, r.Header)
	}
	v.mu.Lock()
	v.asked[q["token"]]++
	answer, before := cmp.Or(v.says[q["token"]], v.every), v.before
	v.mu.Unlock()
	before()
	switch answer {
	case "":
		w.WriteHeader(http.StatusUnauthorized)
	case "redirect":
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	case "fail":
		w.WriteHeader(http.StatusInternalServerError)
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func (v *verifier) say(token, answer string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.says[token] = answer
}

func (v *verifier) times(token string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[token]
}

func (v *verifier) start(t testing.TB) *system {
	cfg := config(t)
	cfg.VerifyURL = v.URL + "/verify"
	return start(t, cfg)
}

// refused connects in vain, and returns the status and the error of the answer.
func (s *system) refused(token string) (int, string) {
	s.t.Helper()
	c, resp, err := s.dial(token, "")
	if err == nil {
		c.CloseNow()
		s.t.Fatalf("token %s was let in", token)
	}
	if resp == nil {
		s.t.Fatal(err)
	}
	var body struct{ Error string }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, body.Error
}

const edge = `{"gatewayId":"edge","organizationId":"acme","groups":["eu","eu"],"expiresAt":null,"more":1}`

// The platform says who a token is; events find its gateway by id, group and all.
func TestVerify(t *testing.T) {
	v := newVerifier(t)
	v.say("gc_good", edge)
	s := v.start(t)
	if got := s.receipt(`"gatewayId":"edge"`); got.Targets != 1 || got.Connected != 0 {
		t.Fatalf("an event for a gateway nobody has heard of: %+v", got)
	}
	a, b := s.connect("gc_good"), s.connect("gc_good")
	if n := v.times("gc_good"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	for _, target := range []string{`"gatewayId":"edge"`, `"group":"eu"`, `"all":true`} {
		got := s.receipt(target)
		if got.Targets != 1 || got.Connected != 1 {
			t.Errorf("%s: %+v", target, got)
		}
		a.expect(got.ID)
		b.expect(got.ID)
	}
	var listed struct{ Events []struct{ ID string } }
	if s.call("GET", root+"/events?gatewayId=edge", "", &listed); len(listed.Events) != 4 {
		t.Errorf("the gateway's events are %v", listed.Events)
	}
	for _, path := range []string{"/gateways/edge", "/gateways/edge/tokens"} {
		if status := s.call("GET", root+path, "", nil); status != 404 { // it is not registered
			t.Errorf("GET %s: %d", path, status)
		}
	}
	if status, code := s.refused("gc_bad"); status != 401 || code != "unauthorized" {
		t.Errorf("an unknown token: %d %s", status, code)
	}
	s.refused("gc_bad")
	if n := v.times("gc_bad"); n != 1 {
		t.Errorf("asked %d times about a token that is refused", n)
	}
	if s.refused(""); v.times("") != 0 {
		t.Error("asked about no token")
	}
}

// What is no answer is no refusal: a gateway would give up.
func TestVerifyUnanswered(t *testing.T) {
	for name, answer := range map[string]string{
		"failed": "fail", "redirected": "redirect", "not JSON": "yes", "no id": `{}`, "a bad id": `{"gatewayId":"a b"}`,
		"a bad organization": `{"gatewayId":"a","organizationId":"?"}`, "groups no list": `{"gatewayId":"a","groups":"x"}`,
		"a bad group": `{"gatewayId":"a","groups":[""]}`, "a bad time": `{"gatewayId":"a","expiresAt":"soon"}`,
		"too long": `{"gatewayId":"a","groups":["` + strings.Repeat("x", 70<<10) + `"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t)
			v.say("gc_good", answer)
			s := v.start(t)
			if status, code := s.refused("gc_good"); status != 503 || code != "unavailable" {
				t.Errorf("%d %s", status, code)
			}
			v.say("gc_good", edge)
			s.connect("gc_good")
		})
	}
}

// A platform that is gone is a clear 503, for a token that has just been verified
// only when it must be asked again.
func TestVerifyDown(t *testing.T) {
	v := newVerifier(t)
	v.say("gc_good", edge)
	cfg := config(t)
	cfg.VerifyURL = v.URL
	s := start(t, cfg)
	s.connect("gc_good")
	v.Close()
	s.connect("gc_good")
	for range 3 {
		if status, code := s.refused("gc_secret"); status != 503 || code != "unavailable" {
			t.Errorf("%d %s", status, code)
		}
	}
	s.drain()
	if n := strings.Count(s.logs.String(), "cannot verify tokens"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, s.logs)
	}
}

// Many who present one token at once are one question; those who wait for a slow
// answer all get it.
func TestVerifyOnce(t *testing.T) {
	v := newVerifier(t)
	v.say("gc_good", edge)
	s := v.start(t)
	release := make(chan struct{})
	v.before = func() { <-release }
	var wg sync.WaitGroup
	const many = 20
	for range many {
		wg.Go(func() {
			if c, _, err := s.dial("gc_good", ""); err != nil {
				t.Error(err)
			} else {
				c.CloseNow()
			}
		})
	}
	eventually(t, "all wait", func() bool { return s.metric(`gatecast_handshakes_in_flight`) == many && v.times("gc_good") == 1 })
	close(release)
	wg.Wait()
	if n := v.times("gc_good"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// The platform takes a token back: its connections end at once, and the next that
// presents it has the platform asked.
func TestVerifyTakenBack(t *testing.T) {
	v := newVerifier(t)
	v.say("gc_good", edge)
	v.say("gc_other", `{"gatewayId":"other"}`)
	s := v.start(t)
	gone, stays := s.connect("gc_good"), s.connect("gc_other")
	v.say("gc_good", "")
	if status := s.call("DELETE", root+"/verified/edge", "", nil); status != 204 {
		t.Fatalf("DELETE: %d", status)
	}
	if code := gone.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
	if status, _ := s.refused("gc_good"); status != 401 {
		t.Errorf("then %d", status)
	}
	stays.expect(s.publish("other", "1"))
	for path, want := range map[string]int{"/verified/nobody": 204, "/verified/a%20b": 404} {
		if status := s.call("DELETE", root+path, "", nil); status != want {
			t.Errorf("DELETE %s: %d, want %d", path, status, want)
		}
	}
	if status := start(t, config(t)).call("DELETE", root+"/verified/edge", "", nil); status != 404 {
		t.Errorf("without --verify-url: %d", status)
	}
}

// On nodes that share a log, a gateway counts wherever it is connected, and what is
// taken back on one is taken back on all.
func TestVerifyOnSeveralNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three NATS servers")
	}
	v := newVerifier(t)
	v.say("gc_good", edge)
	v.say("gc_other", `{"gatewayId":"other","groups":["eu"]}`)
	verifies := func(cfg *Config) { cfg.VerifyURL = v.URL }
	c := startNATS(t)
	a, b := c.node("a", verifies), c.node("b", verifies)
	gone, stays := b.connect("gc_good"), b.connect("gc_other")
	if n := v.times("gc_good"); n != 1 {
		t.Errorf("asked %d times", n)
	}

	// A knows from the registry what groups the gateways are in that B has verified.
	for _, p := range []struct {
		on                 *system
		target             string
		targets, connected int
		to                 []*replica
	}{
		{a, `"gatewayId":"edge"`, 1, 1, []*replica{gone}},
		{b, `"gatewayId":"edge"`, 1, 1, []*replica{gone}},
		{a, `"gatewayIds":["edge","nobody"]`, 2, 1, []*replica{gone}},
		{a, `"group":"eu"`, 2, 2, []*replica{gone, stays}},
		{b, `"group":"eu"`, 2, 2, []*replica{gone, stays}},
		{a, `"all":true`, 2, 2, []*replica{gone, stays}},
		{b, `"all":true`, 2, 2, []*replica{gone, stays}},
	} {
		eventually(t, "the node knows who is connected", func() bool {
			targets, connected, _ := p.on.registry.Reach(event.Target{Group: "eu"})
			return targets == 2 && connected == 2
		})
		got := p.on.receipt(p.target)
		if got.Targets != p.targets || got.Connected != p.connected {
			t.Errorf("on %s, %s: %d targets, %d connected; want %d, %d", p.on.cfg.NodeID, p.target, got.Targets, got.Connected, p.targets, p.connected)
		}
		for _, r := range p.to {
			r.expect(got.ID)
		}
	}

	here := a.connect("gc_good") // which also has A ask for itself
	if n := v.times("gc_good"); n != 2 {
		t.Errorf("asked %d times by two nodes", n)
	}
	group := a.receipt(`"group":"eu"`)
	if group.Targets != 2 || group.Connected != 2 {
		t.Errorf("a group that the node has verified one gateway of: %+v", group)
	}
	v.say("gc_good", "")
	eventually(t, "both nodes say within a second that they have taken it back", func() bool {
		return a.call("DELETE", root+"/verified/edge", "", nil) == 204
	})
	for on, r := range map[string]*replica{"a": here, "b": gone} {
		if code := r.closed(); code != websocket.StatusPolicyViolation {
			t.Errorf("on %s it was closed with %d", on, code)
		}
	}
	for _, s := range []*system{a, b} {
		if status, _ := s.refused("gc_good"); status != 401 {
			t.Errorf("on %s it is then answered with %d", s.cfg.NodeID, status)
		}
		eventually(t, "nobody counts it as connected", func() bool {
			targets, connected, _ := s.registry.Reach(event.Target{GatewayIDs: []string{"edge"}})
			return targets == 1 && connected == 0
		})
	}
	if n := v.times("gc_good"); n != 4 {
		t.Errorf("asked %d times, want once more by each node", n)
	}
	stays.expect(group.ID, a.publish("other", "1"))

	// A node that does not answer is named, for its connections may still be there.
	b.peers.Unsubscribe()
	var answer struct{ Message string }
	if status := a.call("DELETE", root+"/verified/edge", "", &answer); status != 503 || !strings.Contains(answer.Message, "connections: b") {
		t.Errorf("with a node that does not answer: %d %q", status, answer.Message)
	}
}

// A receipt is the answer to a publish.
type receipt struct {
	ID                 string
	Targets, Connected int
}

// receipt publishes to a target.
func (s *system) receipt(target string) (r receipt) {
	s.t.Helper()
	if status := s.call("POST", root+"/events", `{`+target+`,"type":"t"}`, &r); status != 202 {
		s.t.Fatalf("POST /events to %s: %d", target, status)
	}
	return r
}

// An answer of before a token was taken back does not count.
func TestVerifyOvertaken(t *testing.T) {
	v := newVerifier(t)
	v.say("gc_good", edge)
	s := v.start(t)
	var once sync.Once
	v.before = func() {
		once.Do(func() {
			v.say("gc_good", "")
			if status := s.call("DELETE", root+"/verified/edge", "", nil); status != 204 {
				t.Errorf("DELETE: %d", status)
			}
		})
	}
	if status, _ := s.refused("gc_good"); status != 401 {
		t.Errorf("%d", status)
	}
	if n := v.times("gc_good"); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// A token's time ends its connections; one that is over already is refused.
func TestVerifyExpires(t *testing.T) {
	v := newVerifier(t)
	said := func(at time.Time) string {
		return fmt.Sprintf(`{"gatewayId":"edge","expiresAt":%q}`, at.Format(time.RFC3339Nano))
	}
	v.say("gc_over", said(time.Now().Add(-time.Second)))
	s := v.start(t)
	if status, _ := s.refused("gc_over"); status != 401 {
		t.Errorf("an expired token: %d", status)
	}
	var r *replica
	var at time.Time
	for life := 300 * time.Millisecond; r == nil; life *= 2 { // a busy machine needs longer to connect
		token := fmt.Sprint("gc_for-", life)
		at = time.Now().Add(life)
		v.say(token, said(at))
		switch c, _, err := s.dial(token, ""); {
		case err == nil:
			t.Cleanup(func() { c.CloseNow() })
			r = &replica{described: c}
		case life > time.Minute:
			t.Fatal(err)
		}
	}
	if code := r.closed(); code != websocket.StatusPolicyViolation || time.Now().Before(at) {
		t.Errorf("closed with %d, %v before its time", code, time.Until(at))
	}
}

// metric returns the value of a series.
func (s *system) metric(series string) float64 {
	s.t.Helper()
	resp, err := s.http.Get("http://" + s.InternalAddr().String() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var value float64
		if name, rest, _ := strings.Cut(line, " "); name == series {
			if _, err := fmt.Sscan(rest, &value); err == nil {
				return value
			}
		}
	}
	return 0
}

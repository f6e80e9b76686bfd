// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package jwtauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/auth/memstore"
	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/test/testenv/issuer"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everyAlgorithm is an issuer with a published key for each algorithm, whose id is the
// algorithm, and one that is not published, "secret". Its server is not used.
var everyAlgorithm = sync.OnceValue(func() *issuer.Issuer {
	i := issuer.Offline()
	for _, alg := range algorithms {
		i.Add(alg, alg)
	}
	i.Generate("secret", "ES256")
	return i
})

// A keyServer serves a key set without a network.
type keyServer struct {
	mu     sync.Mutex
	set    []byte // nil: it does not answer
	hang   chan struct{}
	loads  int
	status int
}

func (s *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.loads++
	set, hang, status := s.set, s.hang, s.status
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if set == nil {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: cmp.Or(status, http.StatusOK), Body: io.NopCloser(bytes.NewReader(set))}, nil
}

func b(is bool) int {
	if is {
		return 1
	}
	return 0
}

func (s *keyServer) serve(set []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = set
}

func (s *keyServer) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

// A rig is a verifier with a registry in memory.
type rig struct {
	*Verifier
	t        *testing.T
	registry *auth.Registry
	server   *keyServer
	log      *logBuffer

	mu      sync.Mutex
	results []string
	ended   []event.CloseReason
}

// open returns a verifier of tokens of everyAlgorithm.
func open(t *testing.T, keys string, server *keyServer) (*rig, error) {
	t.Helper()
	r := &rig{t: t, server: server, log: new(logBuffer)}
	logger := slog.New(slog.NewTextHandler(r.log, nil))
	registry, err := auth.Open(t.Context(), memstore.New(), auth.Options{External: true, OnRevoke: func(v auth.Revocation) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = append(r.ended, v.Reason)
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.registry = registry
	v, err := Start(t.Context(), Config{
		Keys: keys, Transport: server, Issuer: issuer.Name, Audience: issuer.Audience,
		GatewayClaim: "sub", OrgClaim: "org", GroupsClaim: "groups", Registry: registry,
		Observe: func(result string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.results = append(r.results, result)
		},
		Loaded: func(int, error) {}, Logger: logger,
	})
	if err != nil {
		registry.Close()
		return nil, err
	}
	r.Verifier = v
	return r, nil
}

// A logBuffer has what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (r *rig) close() {
	r.Stop()
	r.registry.Close()
}

func (r *rig) granted(token string) *auth.Grant {
	r.t.Helper()
	g, err := r.Verify(token)
	if err != nil {
		r.t.Fatalf("Verify: %v", err)
	}
	return g
}

func (r *rig) fails(token string, want error, says string) {
	r.t.Helper()
	g, err := r.Verify(token)
	if g != nil || !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), says) {
		r.t.Errorf("Verify: %v, %v; want an error that says %q and is %v", g, err, says, want)
	}
}

// with runs f with a verifier of a URL, on a clock that moves when all is quiet.
func with(t *testing.T, set []byte, f func(t *testing.T, r *rig)) {
	everyAlgorithm() // made outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		r, err := open(t, "https://issuer.test/keys", &keyServer{set: set})
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		f(t, r)
	})
}

type change = map[string]any

func TestAcceptedTokens(t *testing.T) {
	i := everyAlgorithm()
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		for _, alg := range algorithms {
			if g := r.granted(i.Token(alg, "g")); g.Gateway.ID != "g" {
				t.Errorf("%s: gateway %s", alg, g.Gateway.ID)
			}
		}
		now := time.Now()
		for name, token := range map[string]string{
			"several audiences": i.Token("ES256", "g", change{"aud": []string{"x", issuer.Audience}}),
			"no iat":            i.Token("ES256", "h", change{"iat": nil}),
			"a clock ahead":     i.Token("ES256", "g", change{"iat": now.Add(20 * time.Second).Unix(), "nbf": now.Add(20 * time.Second).Unix()}),
			"a fraction":        i.Token("ES256", "g", change{"exp": float64(now.Add(time.Hour).Unix()) + .5}),
			"no key id":         i.Sign("ES384", nil, change{"iss": issuer.Name, "aud": issuer.Audience, "sub": "g", "exp": now.Add(time.Hour).Unix()}),
		} {
			if _, err := r.Verify(token); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		g := r.granted(i.Token("EdDSA", "k", change{"org": "acme", "groups": []string{"b", "a", "b"}}))
		if g.Gateway.OrganizationID != "acme" || strings.Join(g.Gateway.Groups, " ") != "a b" {
			t.Errorf("gateway %+v", g.Gateway)
		}
	})
}

func TestRefusedTokens(t *testing.T) {
	i := everyAlgorithm()
	unsigned := func(method jwt.SigningMethod, key any, header change) string {
		token := jwt.NewWithClaims(method, jwt.MapClaims{"iss": issuer.Name, "aud": issuer.Audience, "sub": "g", "exp": time.Now().Add(time.Hour).Unix()})
		for name, value := range header {
			token.Header[name] = value
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	public, err := x509.MarshalPKIXPublicKey(i.Public("RS256"))
	if err != nil {
		t.Fatal(err)
	}
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		now := time.Now()
		valid := change{"iss": issuer.Name, "aud": issuer.Audience, "sub": "g", "exp": now.Add(time.Hour).Unix()}
		for name, tt := range map[string]struct{ token, says string }{
			"none":               {unsigned(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, change{"kid": "RS256"}), "algorithm"},
			"HMAC":               {unsigned(jwt.SigningMethodHS256, public, change{"kid": "RS256"}), "algorithm"},
			"HMAC without kid":   {unsigned(jwt.SigningMethodHS512, public, nil), "algorithm"},
			"another algorithm":  {i.Sign("RS256", change{"kid": "PS256"}, valid), "no such key"},
			"another curve":      {i.Sign("ES256", change{"kid": "ES384"}, valid), "no such key"},
			"another key":        {i.Sign("secret", change{"kid": "ES256"}, valid), "signature"},
			"no key id":          {i.Sign("secret", nil, valid), "signature"},
			"other claims":       {issuer.Tamper(i.Token("ES256", "g"), change{"sub": "h"}), "signature"},
			"extensions":         {i.Sign("ES256", change{"kid": "ES256", "crit": []string{"b64"}}, valid), "critical"},
			"a key id of 7":      {i.Sign("ES256", change{"kid": 7}, valid), "key id"},
			"another issuer":     {i.Token("ES256", "g", change{"iss": "https://other.test"}), "issuer"},
			"no issuer":          {i.Token("ES256", "g", change{"iss": nil}), "no exp, iss or aud"},
			"another audience":   {i.Token("ES256", "g", change{"aud": "other"}), "audience"},
			"no audience":        {i.Token("ES256", "g", change{"aud": nil}), "no exp, iss or aud"},
			"no expiry":          {i.Token("ES256", "g", change{"exp": nil}), "no exp, iss or aud"},
			"expired":            {i.Token("ES256", "g", change{"exp": now.Unix() - 1}), "expired"},
			"expired long ago":   {i.Token("ES256", "g", change{"exp": now.Add(-time.Hour).Unix()}), "expired"},
			"a wild expiry":      {i.Token("ES256", "g", change{"exp": 1e300}), ""},
			"an expiry in words": {i.Token("ES256", "g", change{"exp": "never"}), ""},
			"not yet":            {i.Token("ES256", "g", change{"nbf": now.Add(time.Minute).Unix()}), "not valid yet"},
			"of the future":      {i.Token("ES256", "g", change{"iat": now.Add(time.Minute).Unix()}), "future"},
			"no gateway":         {i.Token("ES256", "g", change{"sub": nil}), "gatewayId"},
			"a bad gateway":      {i.Token("ES256", "a b"), "gatewayId"},
			"a gateway 7":        {i.Token("ES256", "g", change{"sub": 7}), "claim sub"},
			"a bad organization": {i.Token("ES256", "g", change{"org": "?"}), "organizationId"},
			"an organization 7":  {i.Token("ES256", "g", change{"org": 7}), "claim org"},
			"groups no list":     {i.Token("ES256", "g", change{"groups": "a"}), "claim groups"},
			"a group 7":          {i.Token("ES256", "g", change{"groups": []any{7}}), "claim groups"},
			"a bad group":        {i.Token("ES256", "g", change{"groups": []string{"a b"}}), "groups[0]"},
			"many groups":        {i.Token("ES256", "g", change{"groups": strings.Split(strings.Repeat("a ", 64)+"a", " ")}), "65 names"},
			"too long":           {i.Token("ES256", "g", change{"x": strings.Repeat("x", MaxToken)}), "longer"},
			"malformed":          {"eyJhbGciOiJFUzI1NiJ9.x.y", "malformed"},
			"no signature":       {strings.Join(strings.Split(i.Token("ES256", "g"), ".")[:2], ".") + ".", "signature"},
		} {
			if !IsJWT(tt.token) {
				t.Errorf("%s: not in the form of a JWT", name)
			}
			if _, err := r.Verify(tt.token); !errors.Is(err, auth.ErrRefused) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want an error that says %q", name, err, tt.says)
			}
		}
		if n := r.server.times(); n != 1 {
			t.Errorf("the keys were loaded %d times", n)
		}
	})
}

func TestIsJWT(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	for token, want := range map[string]bool{
		encode([]byte(`{"alg":"none"}`)) + "..":          true,
		encode([]byte(`{"alg":"RS256"}`)) + ".a.b":       true,
		encode([]byte(`{"alg":"RS256"}`)) + ".a":         false,
		encode([]byte(`{"alg":"RS256"}`)) + ".a.b.c.d":   false,
		encode([]byte(`{"typ":"JWT"}`)) + ".a.b":         false,
		encode([]byte(`["alg"]`)) + ".a.b":               false,
		"a.b.c":                                          false,
		"":                                               false,
		"gc_0123456789012345678901234567890123456789012": false,
		strings.Repeat("e", 1<<20) + ".a.b":              false,
	} {
		if IsJWT(token) != want {
			t.Errorf("IsJWT(%.60q) = %v", token, !want)
		}
	}
}

// Keys that cannot be used are left out; a set without any other is not used.
func TestKeySet(t *testing.T) {
	var document struct{ Keys []map[string]any }
	if err := json.Unmarshal(everyAlgorithm().KeySet(), &document); err != nil {
		t.Fatal(err)
	}
	jwk := func(kid string, changes change) map[string]any {
		m := make(map[string]any)
		for _, k := range document.Keys {
			if k["kid"] == kid {
				for name, value := range k {
					m[name] = value
				}
			}
		}
		for name, value := range changes {
			m[name] = value
		}
		return m
	}
	short := base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 127)...))
	for name, tt := range map[string]struct {
		key any
		ok  bool
	}{
		"RSA":              {jwk("RS256", nil), true},
		"an unknown value": {jwk("ES256", change{"x-use": "sig", "ext": true}), true},
		"no use":           {jwk("ES256", change{"use": ""}), true},
		"to verify":        {jwk("EdDSA", change{"key_ops": []string{"verify"}}), true},
		"for encryption":   {jwk("RS256", change{"use": "enc"}), false},
		"to sign":          {jwk("ES256", change{"key_ops": []string{"sign"}}), false},
		"a short RSA key":  {jwk("RS256", change{"n": short}), false},
		"no point":         {jwk("ES256", change{"x": jwk("ES256", nil)["y"]}), false},
		"a secret":         {change{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "x", "alg": "HS256"}, false},
		"key agreement":    {jwk("EdDSA", change{"crv": "X25519"}), false},
		"no object":        {7, false},
	} {
		text, err := json.Marshal(map[string]any{"keys": []any{tt.key, jwk("PS512", nil)}})
		if err != nil {
			t.Fatal(err)
		}
		set, skipped, err := parseKeySet(text, nil)
		if err != nil || len(set.members) != 1+b(tt.ok) || len(skipped) != 1-b(tt.ok) {
			t.Errorf("%s: set %+v, skipped %v, %v", name, set, skipped, err)
		}
	}
	for name, text := range map[string]string{
		"no JSON": "<html>", "no keys": `{}`, "an empty set": `{"keys":[]}`, "a list": `[]`,
		"too many": `{"keys":[` + strings.Repeat("{},", maxKeys) + `{}]}`,
	} {
		if set, _, err := parseKeySet([]byte(text), nil); err == nil {
			t.Errorf("%s: %+v", name, set)
		}
	}
}

// A cached grant is checked again after a minute, and never outlives its token.
func TestCache(t *testing.T) {
	i := everyAlgorithm()
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		token := i.Token("ES256", "g", change{"exp": time.Now().Add(5 * time.Minute).Unix()})
		if r.Cached(token) != nil {
			t.Error("known before it was verified")
		}
		g := r.granted(token)
		if r.granted(token) != g || r.Cached(token) != g {
			t.Error("another grant")
		}
		time.Sleep(grantTTL)
		if r.granted(token) != g {
			t.Error("another grant after a minute")
		}
		if got := strings.Join(r.results, " "); got != "granted remembered granted" {
			t.Errorf("results: %s", got)
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if reason, ended := g.Revoked(); !ended || reason != event.TokenExpired || r.Cached(token) != nil {
			t.Errorf("after its expiry: %v %v", reason, ended)
		}
		r.fails(token, auth.ErrRefused, "expired")
	})
}

// A new key is found at once when it is needed, and the old one's tokens end when it leaves.
func TestRotation(t *testing.T) {
	i := issuer.Offline()
	i.Add("old", "ES256")
	i.Generate("new", "ES256")
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		old := r.granted(i.Token("old", "g"))
		time.Sleep(10 * time.Second)
		i.Publish("new")
		r.server.serve(i.KeySet())
		fresh := r.granted(i.Token("new", "g"))
		if n := r.server.times(); n != 2 {
			t.Errorf("loaded %d times", n)
		}
		if _, ended := old.Revoked(); ended {
			t.Error("the old key's token has ended too early")
		}
		withdrawn := i.Token("old", "h")
		i.Withdraw("old")
		r.server.serve(i.KeySet())
		time.Sleep(urlInterval)
		synctest.Wait()
		if reason, ended := old.Revoked(); !ended || reason != event.TokenRevoked {
			t.Errorf("when its key has left: %v %v", reason, ended)
		}
		if _, ended := fresh.Revoked(); ended {
			t.Error("the new key's token has ended")
		}
		r.fails(withdrawn, auth.ErrRefused, "no such key")
		r.fails(i.Token("old", "h"), auth.ErrRefused, "no such key") // not 503, although it is new
		// A key that comes back is trusted again.
		i.Publish("old")
		r.server.serve(i.KeySet())
		time.Sleep(urlInterval)
		synctest.Wait()
		r.granted(withdrawn)
	})
}

// While the issuer cannot be reached, or answers nonsense, its last good keys are used.
// Only unknown keys get 503, since they can be new.
func TestOutage(t *testing.T) {
	i := issuer.Offline()
	i.Add("known", "ES256")
	i.Generate("unknown", "ES256")
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		for _, set := range [][]byte{nil, []byte("<html>"), []byte(`{"keys":[]}`)} {
			r.server.serve(set)
			time.Sleep(urlInterval + time.Hour)
			g := r.granted(i.Token("known", "g"))
			time.Sleep(10 * time.Minute)
			if _, ended := g.Revoked(); ended {
				t.Error("a token has ended")
			}
			r.fails(i.Token("unknown", "g"), auth.ErrUnverifiable, "unknown")
		}
		i.Publish("unknown")
		r.server.serve(i.KeySet())
		time.Sleep(retryInterval)
		r.granted(i.Token("unknown", "g"))
		synctest.Wait() // until the load is logged
		if n := strings.Count(r.log.String(), "loaded again"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, r.log)
		}
	})
}

// Without keys, tokens get 503, and not 401. They are loaded as soon as they can be.
func TestNoKeys(t *testing.T) {
	i := everyAlgorithm()
	with(t, nil, func(t *testing.T, r *rig) {
		if r.Ready() == nil {
			t.Error("ready")
		}
		r.fails(i.Token("ES256", "g"), auth.ErrUnverifiable, "no keys")
		r.server.serve(i.KeySet())
		time.Sleep(retryInterval)
		synctest.Wait()
		if err := r.Ready(); err != nil {
			t.Error(err)
		}
		r.granted(i.Token("ES256", "g"))
	})
}

// A flood of unknown key ids loads the keys once per interval, and holds few goroutines.
// What the newest set proves to be wrong is refused; what can be newer gets 503.
func TestUnknownKeys(t *testing.T) {
	i := everyAlgorithm()
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		before := i.Token("secret", "g")
		time.Sleep(urlInterval + urlInterval/2) // no load at an interval is near
		r.fails(before, auth.ErrRefused, "no such key")
		loads := r.server.times()
		time.Sleep(time.Second)
		r.fails(before, auth.ErrRefused, "no such key")
		r.fails(i.Token("secret", "g"), auth.ErrUnverifiable, "unknown")
		r.fails(i.Token("secret", "g", change{"iat": nil}), auth.ErrUnverifiable, "unknown")
		if n := r.server.times(); n != loads {
			t.Errorf("loaded %d times more", n-loads)
		}
		time.Sleep(retryInterval)
		hang := make(chan struct{})
		r.server.mu.Lock()
		r.server.hang = hang
		r.server.mu.Unlock()
		var answers sync.Map
		for n := range 10 * maxWaiting {
			go func() {
				_, err := r.Verify(i.Token("secret", "g"))
				answers.Store(n, err)
			}()
		}
		synctest.Wait()
		count := func(want error) (n int) {
			answers.Range(func(_, err any) bool { n += b(errors.Is(err.(error), want)); return true })
			return n
		}
		if n := count(auth.ErrUnverifiable); n != 9*maxWaiting {
			t.Errorf("%d got 503 at once", n)
		}
		close(hang)
		synctest.Wait()
		if n := count(auth.ErrRefused) + count(auth.ErrUnverifiable); n != 10*maxWaiting {
			t.Errorf("%d have an answer", n)
		}
		if n := count(auth.ErrRefused); n == 0 {
			t.Error("the set was newer, but nobody was refused")
		}
		if n := r.server.times(); n != loads+1 {
			t.Errorf("loaded %d times, want once", n-loads)
		}
	})
}

// A server that does not answer holds nobody for longer than the timeout.
func TestSlowServer(t *testing.T) {
	i := everyAlgorithm()
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		r.server.mu.Lock()
		r.server.hang = make(chan struct{})
		r.server.mu.Unlock()
		time.Sleep(time.Minute)
		began := time.Now()
		r.fails(i.Token("secret", "g"), auth.ErrUnverifiable, "unknown")
		if took := time.Since(began); took > loadTimeout {
			t.Errorf("waited for %v", took)
		}
		r.granted(i.Token("ES256", "g"))
	})
}

// Keys in a file are loaded again when it changes. A file that cannot be read is an error
// at the start only.
func TestFile(t *testing.T) {
	i := issuer.Offline()
	i.Add("old", "ES256")
	i.Generate("new", "EdDSA")
	name := filepath.Join(t.TempDir(), "keys.json")
	write := func(text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, bad := range []string{name, t.TempDir()} {
			if _, err := open(t, bad, nil); err == nil {
				t.Fatal("started without keys")
			}
		}
		write(i.KeySet())
		r, err := open(t, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		g := r.granted(i.Token("old", "g"))
		write([]byte(`{"keys":[`)) // half written
		time.Sleep(time.Minute)
		r.granted(i.Token("old", "h"))
		i.Publish("new")
		i.Withdraw("old")
		write(i.KeySet())
		time.Sleep(fileInterval)
		synctest.Wait()
		r.granted(i.Token("new", "g"))
		if reason, ended := g.Revoked(); !ended || reason != event.TokenRevoked {
			t.Errorf("%v %v", reason, ended)
		}
	})
}

// Answers other than 200 are failures; a redirect is not followed.
func TestReadURL(t *testing.T) {
	for _, status := range []int{204, 301, 404, 500} {
		s := &keyServer{set: everyAlgorithm().KeySet(), status: status}
		if text, err := readURL("https://issuer.test/keys", s)(context.Background()); err == nil || s.loads != 1 {
			t.Errorf("status %d: %q after %d requests", status, text, s.loads)
		}
	}
	if _, err := readURL("https://issuer.test/keys", &keyServer{set: make([]byte, maxKeySetBytes+1)})(context.Background()); err == nil {
		t.Error("a long answer was read")
	}
}

// No log line and no error has a token in it.
func TestNoTokenInLogs(t *testing.T) {
	i := everyAlgorithm()
	with(t, i.KeySet(), func(t *testing.T, r *rig) {
		for _, token := range []string{i.Token("secret", "g"), i.Token("ES256", "a b"), i.Token("ES256", "g", change{"exp": 1}), "eyJhbGciOiJFUzI1NiJ9.eyJz.bad"} {
			_, err := r.Verify(token)
			for part := range strings.SplitSeq(token, ".") {
				if text := fmt.Sprint(err) + r.log.String(); strings.Contains(text, part) {
					t.Errorf("%q contains %q", text, part)
				}
			}
		}
	})
}

func FuzzIsJWT(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.AA")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if !IsJWT(token) {
			return
		}
		// What has the form is refused or verified, without a panic.
		if _, _, err := newParser(Config{}).ParseUnverified(token, jwt.MapClaims{}); err == nil && strings.Count(token, ".") != 2 {
			t.Errorf("%q has no three parts", token)
		}
	})
}

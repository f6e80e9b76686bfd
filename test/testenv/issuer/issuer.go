// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package issuer is an issuer of signed tokens for tests, with its key set on a TLS server.
package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Name and Audience are the issuer and the audience of its tokens.
const (
	Name     = "https://issuer.test"
	Audience = "gatecast"
)

// An Issuer has keys, signs tokens with them and serves their public parts. Goroutines can
// share it.
type Issuer struct {
	*httptest.Server            // nil: offline
	t                testing.TB // nil: offline

	mu    sync.Mutex
	keys  []key // published or not
	loads int
	down  bool
}

type key struct {
	kid, alg  string
	private   crypto.Signer
	published bool
}

// Offline returns an issuer without keys and without a server.
func Offline() *Issuer { return new(Issuer) }

// New returns an issuer without keys, which serves until the end of the test.
func New(t testing.TB) *Issuer {
	i := &Issuer{t: t}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	return i
}

func (i *Issuer) serve(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.loads++
	if i.down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(i.keySet())
}

// Loads returns how often the key set was asked for.
func (i *Issuer) Loads() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.loads
}

// SetDown sets whether the server answers with an error.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// CAFile returns a file with the server's certificate.
func (i *Issuer) CAFile() string {
	name := filepath.Join(i.t.TempDir(), "issuer.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		i.t.Fatal(err)
	}
	return name
}

// Generate makes a key for an algorithm, which is not published.
func (i *Issuer) Generate(kid, alg string) {
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key{kid, alg, private, false})
}

// Publish adds keys to the key set.
func (i *Issuer) Publish(kids ...string) { i.publish(true, kids) }

// Withdraw takes keys out of the key set.
func (i *Issuer) Withdraw(kids ...string) { i.publish(false, kids) }

func (i *Issuer) publish(published bool, kids []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.keys {
		if slices.Contains(kids, i.keys[n].kid) {
			i.keys[n].published = published
		}
	}
}

// Add makes a key and publishes it.
func (i *Issuer) Add(kid, alg string) {
	i.Generate(kid, alg)
	i.Publish(kid)
}

// Public returns a public key.
func (i *Issuer) Public(kid string) crypto.PublicKey { return i.find(kid).private.Public() }

func (i *Issuer) find(kid string) key {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := slices.IndexFunc(i.keys, func(k key) bool { return k.kid == kid })
	if n < 0 {
		panic("the issuer has no key " + kid)
	}
	return i.keys[n]
}

// KeySet returns the JSON Web Key Set of the published keys.
func (i *Issuer) KeySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keySet()
}

func (i *Issuer) keySet() []byte {
	list := []map[string]string{}
	for _, k := range i.keys {
		if k.published {
			list = append(list, jwk(k))
		}
	}
	text, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		panic(err)
	}
	return text
}

// jwk returns the JSON Web Key of a public key (RFC 7518 section 6, RFC 8037 section 2).
func jwk(k key) map[string]string {
	m := map[string]string{"kid": k.kid, "alg": k.alg, "use": "sig"}
	encode := base64.RawURLEncoding.EncodeToString
	switch p := k.private.Public().(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", encode(p.N.Bytes()), encode(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, X, Y
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", p.Curve.Params().Name, encode(point[1:1+half]), encode(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", encode(p)
	}
	return m
}

// Token returns a signed token of a gateway, issued now and valid for an hour. A change
// with the value nil removes a claim.
func (i *Issuer) Token(kid, gatewayID string, changes ...map[string]any) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": Name, "aud": Audience, "sub": gatewayID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for _, change := range changes {
		for name, value := range change {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
	}
	return i.Sign(kid, map[string]any{"kid": kid}, claims)
}

// Sign returns a signed token with header members besides alg and typ.
func (i *Issuer) Sign(kid string, header, claims map[string]any) string {
	k := i.find(kid)
	token := jwt.NewWithClaims(jwt.GetSigningMethod(k.alg), jwt.MapClaims(claims))
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(k.private)
	if err != nil {
		panic(err)
	}
	return text
}

// Tamper returns a token with other claims and the old signature.
func Tamper(token string, claims map[string]any) string {
	parts := strings.Split(token, ".")
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(text)
	return strings.Join(parts, ".")
}

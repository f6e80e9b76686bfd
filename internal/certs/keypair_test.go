// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A folder has the files that a test replaces.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) must(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

// write overwrites a file, as an editor can.
func (f folder) write(name string, text []byte) {
	f.t.Helper()
	f.must(os.WriteFile(f.path(name), text, 0o600))
}

// rename replaces a file by another one.
func (f folder) rename(name string, text []byte) {
	f.t.Helper()
	f.write("new", text)
	f.must(os.Rename(f.path("new"), f.path(name)))
}

// unreadable makes a file unreadable, also for root.
func (f folder) unreadable(name string) {
	f.t.Helper()
	f.must(os.Remove(f.path(name)), os.Symlink("nowhere", f.path(name)))
}

func (f folder) readable(name string, text []byte) {
	f.t.Helper()
	f.must(os.Remove(f.path(name)))
	f.write(name, text)
}

// loadPair writes a pair and loads it. Its log is in the buffer.
func (f folder) loadPair(cert, key []byte, keyMode os.FileMode) (*KeyPair, *bytes.Buffer) {
	f.t.Helper()
	f.write("c", cert)
	f.write("k", key)
	f.must(os.Chmod(f.path("k"), keyMode))
	var log bytes.Buffer
	p, err := LoadKeyPair(KeyPairConfig{
		Listener: "gateways", CertFile: f.path("c"), KeyFile: f.path("k"),
		Logger: slog.New(slog.NewTextHandler(&log, nil)), NotAfter: func(time.Time) {},
	})
	f.must(err)
	return p, &log
}

// A KeyPair that is reloaded at any moment keeps the previous pair until both files are
// complete and match.
func TestKeyPairReload(t *testing.T) {
	firstCert, firstKey, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secondCert, secondKey, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, _ := pem.Decode(secondCert)

	for _, steps := range []struct {
		name   string
		broken func(f folder)
		whole  func(f folder)
	}{
		{"the key cannot be read", func(f folder) { f.unreadable("k"); f.rename("c", secondCert) }, func(f folder) { f.readable("k", secondKey) }},
		{"the certificate cannot be read", func(f folder) { f.rename("k", secondKey); f.unreadable("c") }, func(f folder) { f.readable("c", secondCert) }},
		{"neither can be read", func(f folder) { f.unreadable("k"); f.unreadable("c") }, func(f folder) { f.readable("k", secondKey); f.readable("c", secondCert) }},
		{"only the certificate is new", func(f folder) { f.rename("c", secondCert) }, func(f folder) { f.rename("k", secondKey) }},
		{"only the key is new", func(f folder) { f.rename("k", secondKey) }, func(f folder) { f.rename("c", secondCert) }},
		{"half a certificate", func(f folder) { f.rename("k", secondKey); f.write("c", secondCert[:len(secondCert)/2]) }, func(f folder) { f.write("c", secondCert) }},
		{"half a key", func(f folder) { f.rename("c", secondCert); f.write("k", secondKey[:len(secondKey)/2]) }, func(f folder) { f.write("k", secondKey) }},
		{"empty", func(f folder) { f.write("c", nil); f.write("k", nil) }, func(f folder) { f.write("c", secondCert); f.write("k", secondKey) }},
	} {
		t.Run(steps.name, func(t *testing.T) {
			f := folder{t, t.TempDir()}
			p, _ := f.loadPair(firstCert, firstKey, 0o600)
			first := p.current.Load()
			steps.broken(f)
			for range 3 {
				if err := p.Load(); err == nil || !p.current.Load().Leaf.Equal(first.Leaf) {
					t.Fatalf("the previous pair is not in use, error %v", err)
				}
			}
			steps.whole(f)
			if err := p.Load(); err != nil || !bytes.Equal(p.current.Load().Leaf.Raw, second.Bytes) {
				t.Errorf("the new pair is not in use: %v", err)
			}
		})
	}
}

// Client authorities are replaced as a whole or not at all.
func TestClientCAsReload(t *testing.T) {
	firstCert, _, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secondCert, _, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f := folder{t, t.TempDir()}
	f.write("ca", firstCert)
	var pools []*x509.CertPool
	c, err := LoadClientCAs(f.path("ca"), func(p *x509.CertPool) { pools = append(pools, p) })
	f.must(err)
	f.write("ca", append(bytes.Clone(firstCert), secondCert[:len(secondCert)/2]...))
	if err := c.Load(); err == nil || !strings.Contains(err.Error(), "certificate 2") || len(pools) != 1 {
		t.Errorf("half a certificate: %d pools, %v", len(pools), err)
	}
	f.write("ca", append(bytes.Clone(firstCert), secondCert...))
	if err := c.Load(); err != nil || len(pools) != 2 || pools[1].Equal(pools[0]) {
		t.Errorf("two certificates: %d pools, %v", len(pools), err)
	}
}

// Check warns once a day of a certificate that has expired, is not valid yet or expires
// soon, and once per load of a key that others can read.
func TestKeyPairWarnings(t *testing.T) {
	cert, key, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(cert)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		now  time.Time
		log  string
	}{
		{"good", leaf.NotAfter.Add(-15 * 24 * time.Hour), ""},
		{"expires soon", leaf.NotAfter.Add(-13 * 24 * time.Hour), "expires soon"},
		{"expired", leaf.NotAfter.Add(time.Minute), "has expired"},
		{"not valid yet", leaf.NotBefore.Add(-time.Minute), "not valid yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := folder{t, t.TempDir()}
			p, log := f.loadPair(cert, key, 0o600)
			for day := range 2 {
				log.Reset()
				for range 3 {
					p.Check(tt.now)
				}
				if got := strings.Count(log.String(), "\n"); got != min(len(tt.log), 1) || !strings.Contains(log.String(), tt.log) {
					t.Errorf("day %d: logged %q, want %q once", day, log, tt.log)
				}
				tt.now = tt.now.Add(24 * time.Hour)
				if tt.name == "not valid yet" || tt.name == "good" {
					break
				}
			}
		})
	}
	t.Run("key that others can read", func(t *testing.T) {
		f := folder{t, t.TempDir()}
		p, log := f.loadPair(cert, key, 0o644)
		for range 2 {
			p.Check(time.Now())
		}
		if strings.Count(log.String(), "accessible to other users") != 1 || !strings.Contains(log.String(), f.path("k")) {
			t.Errorf("logged %q", log)
		}
		f.must(p.Load())
		if p.Check(time.Now()); strings.Count(log.String(), "accessible to other users") != 2 {
			t.Errorf("logged %q after a reload", log)
		}
	})
}

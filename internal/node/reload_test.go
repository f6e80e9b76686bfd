// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/gatecast/gatecast/internal/settings"

	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/eventtypes"
	"github.com/gatecast/gatecast/poller"
	"github.com/gatecast/gatecast/stats/metrics"
)

// A folder is where the files are that a test replaces.
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

// write writes over a file, as an editor may.
func (f folder) write(name string, text []byte) {
	f.t.Helper()
	f.must(os.WriteFile(f.path(name), text, 0o600))
}

// rename puts another file in a file's place.
func (f folder) rename(name string, text []byte) {
	f.t.Helper()
	f.write("new", text)
	f.must(os.Rename(f.path("new"), f.path(name)))
}

// stealthily writes a file of the same inode, length and time of modification.
func (f folder) stealthily(name string, text []byte) {
	f.t.Helper()
	info, err := os.Stat(f.path(name))
	f.must(err)
	if len(text) != int(info.Size()) {
		f.t.Fatalf("%d bytes are to replace %d", len(text), info.Size())
	}
	f.write(name, text)
	f.must(os.Chtimes(f.path(name), time.Time{}, info.ModTime()))
}

// A text is a watched file, which is loaded unless it says bad.
type text struct {
	file string
	now  string
}

func (t *text) String() string  { return "text" }
func (t *text) files() []string { return []string{t.file} }
func (t *text) load() error {
	b, err := readRegular(t.file)
	if err == nil && bytes.HasPrefix(b, []byte("bad")) {
		err = fmt.Errorf("%s: %s", t.file, b)
	}
	if err == nil {
		t.now = string(b)
	}
	return err
}

// newTestReloader returns a reloader whose log is in the buffer.
func newTestReloader(files ...watched) (*reloader, *bytes.Buffer) {
	var log bytes.Buffer
	return newReloader(files, metrics.NewNode("test"), slog.New(slog.NewTextHandler(&log, nil))), &log
}

// A file is loaded whenever what is in it has changed, however it was changed, and
// what cannot be used is tried again until it can. Each state is logged once.
func TestReloaderLooks(t *testing.T) {
	f := folder{t, t.TempDir()}
	f.write("a", []byte("one"))
	f.must(os.Symlink("a", f.path("link")))
	w := &text{file: f.path("link"), now: "one"}
	r, log := newTestReloader(w)
	for _, step := range []struct {
		name   string
		change func()
		want   string // that is loaded after a look
		says   string // a line of the log; "" is none
	}{
		{"nothing has changed since it was loaded", func() {}, "one", ""},
		{"nothing has changed", func() {}, "one", ""},
		{"written over", func() { f.write("a", []byte("two")) }, "two", "reloaded"},
		{"replaced", func() { f.rename("a", []byte("three")) }, "three", "reloaded"},
		{"nothing again", func() {}, "three", ""},
		{"of the same size and time", func() { f.stealthily("a", []byte("THREE")) }, "THREE", "reloaded"},
		{"bad", func() { f.write("a", []byte("bad 1")) }, "THREE", "bad 1"},
		{"still bad", func() {}, "THREE", ""},
		{"bad otherwise", func() { f.write("a", []byte("bad 2")) }, "THREE", "bad 2"},
		{"good", func() { f.write("a", []byte("four")) }, "four", "reloaded"},
		{"gone", func() { f.must(os.Remove(f.path("a"))) }, "four", "no such file"},
		{"still gone", func() {}, "four", ""},
		{"back as it was", func() { f.write("a", []byte("four")) }, "four", "reloaded"},
		{"a folder", func() { f.must(os.Remove(f.path("a")), os.Mkdir(f.path("a"), 0o700)) }, "four", "not a file"},
		{"a file again", func() { f.must(os.Remove(f.path("a"))); f.write("a", []byte("five")) }, "five", "reloaded"},
		{"another target of the link", func() {
			f.write("b", []byte("six"))
			f.must(os.Symlink("b", f.path("new")), os.Rename(f.path("new"), f.path("link")))
		}, "six", "reloaded"},
		{"bad for a moment, between two looks", func() { f.write("b", []byte("bad")); f.write("b", []byte("six")) }, "six", ""},
	} {
		log.Reset()
		step.change()
		r.look(false)
		if w.now != step.want {
			t.Errorf("%s: %q is loaded, want %q", step.name, w.now, step.want)
		}
		if lines := strings.Count(log.String(), "\n"); !strings.Contains(log.String(), step.says) || lines != min(len(step.says), 1) {
			t.Errorf("%s: the log says %q, want %q", step.name, log, step.says)
		}
	}
}

// Who asks is answered, also if nothing has changed.
func TestReloaderAsked(t *testing.T) {
	f := folder{t, t.TempDir()}
	f.write("a", []byte("bad"))
	r, log := newTestReloader(&text{file: f.path("a")})
	for range 2 {
		log.Reset()
		r.look(true)
		if !strings.Contains(log.String(), "bad") {
			t.Errorf("the log says %q", log)
		}
	}
}

// unreadable makes a file one that cannot be read, also by root.
func (f folder) unreadable(name string) {
	f.t.Helper()
	f.must(os.Remove(f.path(name)), os.Symlink("nowhere", f.path(name)))
}

func (f folder) readable(name string, text []byte) {
	f.t.Helper()
	f.must(os.Remove(f.path(name)))
	f.write(name, text)
}

// Each kind of file that a running node watches survives being unreadable, half
// written or no pair, and is used when it is whole.
func TestReloadsWhenWhole(t *testing.T) {
	firstCert, firstKey, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secondCert, secondKey, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, _ := pem.Decode(secondCert)

	t.Run("certificate and key", func(t *testing.T) {
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
				f.write("c", firstCert)
				f.write("k", firstKey)
				p, err := loadKeyPair("gateways", "tls-cert", f.path("c"), f.path("k"))
				f.must(err)
				r, _ := newTestReloader(p)
				r.look(false)
				first := p.current.Load()
				steps.broken(f)
				for range 3 {
					if r.look(false); !p.current.Load().Leaf.Equal(first.Leaf) {
						t.Fatal("the pair that was is gone")
					}
				}
				steps.whole(f)
				r.look(false)
				if !bytes.Equal(p.current.Load().Leaf.Raw, second.Bytes) {
					t.Error("the new pair is not used")
				}
			})
		}
	})
	t.Run("authorities", func(t *testing.T) {
		f := folder{t, t.TempDir()}
		f.write("ca", firstCert)
		p, err := loadFolderPair(f, firstCert, firstKey)
		f.must(err)
		conf := poller.NewTLS(p.config(), false)
		c, err := loadClientCAs(f.path("ca"), conf)
		f.must(err)
		r, log := newTestReloader(c)
		r.look(false)
		f.write("ca", append(bytes.Clone(firstCert), secondCert[:len(secondCert)/2]...))
		r.look(false)
		if !strings.Contains(log.String(), "certificate 2") {
			t.Errorf("the log says %q", log)
		}
		f.write("ca", append(bytes.Clone(firstCert), secondCert...))
		if r.look(false); !strings.Contains(log.String(), "reloaded") {
			t.Errorf("the log says %q", log)
		}
	})
	t.Run("admin tokens", func(t *testing.T) {
		f := folder{t, t.TempDir()}
		f.write("a", []byte("the-token-of-the-first"))
		n := &Node{cfg: Config{Settings: settings.Settings{AdminTokenFile: f.path("a")}}}
		a, err := n.loadAdmins()
		f.must(err)
		r, _ := newTestReloader(a)
		r.look(false)
		f.rename("a", []byte("the-token-of-the-second"))
		f.must(os.Chmod(f.path("a"), 0o644))
		r.look(false)
		if _, ok := a.Identify("the-token-of-the-first"); !ok {
			t.Error("the token that was is forgotten")
		}
		f.must(os.Chmod(f.path("a"), 0o600)) // which changes nothing in it
		r.look(false)
		if _, ok := a.Identify("the-token-of-the-second"); !ok {
			t.Error("the new token is not known")
		}
	})
	t.Run("event types", func(t *testing.T) {
		f := folder{t, t.TempDir()}
		f.write("e", []byte("first: {}\n"))
		types, err := eventtypes.Open(f.path("e"), true)
		f.must(err)
		r, _ := newTestReloader(&eventTypes{Types: types, file: f.path("e")})
		r.look(false)
		f.unreadable("e")
		r.look(false)
		if err := types.Check("first", nil); err != nil {
			t.Errorf("the types that were are forgotten: %v", err)
		}
		f.readable("e", []byte("second: {}\n"))
		r.look(false)
		if err := types.Check("second", nil); err != nil {
			t.Errorf("the new types are not known: %v", err)
		}
	})
}

// pair writes a pair and returns its files.
func (f folder) pair(cert, key []byte) (certFile, keyFile string) {
	f.t.Helper()
	f.write("pair.crt", cert)
	f.write("pair.key", key)
	return f.path("pair.crt"), f.path("pair.key")
}

func loadFolderPair(f folder, cert, key []byte) (*keyPair, error) {
	f.t.Helper()
	certFile, keyFile := f.pair(cert, key)
	return loadKeyPair("gateways", "tls-cert", certFile, keyFile)
}

// A certificate that has expired, is not valid yet or ends soon is warned of, once a
// day, from the start on; and a key that others may read at each load.
func TestCertificateWarnings(t *testing.T) {
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
		says string
	}{
		{"good", leaf.NotAfter.Add(-15 * 24 * time.Hour), ""},
		{"ends soon", leaf.NotAfter.Add(-13 * 24 * time.Hour), "expires soon"},
		{"expired", leaf.NotAfter.Add(time.Minute), "has expired"},
		{"not valid yet", leaf.NotBefore.Add(-time.Minute), "not valid yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := folder{t, t.TempDir()}
			p, err := loadFolderPair(f, cert, key)
			f.must(err)
			r, log := newTestReloader(p)
			r.now = func() time.Time { return tt.now }
			for day := range 2 {
				log.Reset()
				for range 3 {
					r.look(false)
				}
				if got := strings.Count(log.String(), "\n"); got != min(len(tt.says), 1) || !strings.Contains(log.String(), tt.says) {
					t.Errorf("day %d: the log says %q, want %q once", day, log, tt.says)
				}
				tt.now = tt.now.Add(24 * time.Hour)
				if tt.name == "not valid yet" || tt.name == "good" {
					break
				}
			}
		})
	}
	t.Run("key for all", func(t *testing.T) {
		f := folder{t, t.TempDir()}
		certFile, keyFile := f.pair(cert, key)
		f.must(os.Chmod(keyFile, 0o644))
		p, err := loadKeyPair("gateways", "tls-cert", certFile, keyFile)
		f.must(err)
		r, log := newTestReloader(p)
		if r.look(false); !strings.Contains(log.String(), "not kept private") || !strings.Contains(log.String(), keyFile) {
			t.Errorf("the log says %q", log)
		}
	})
}

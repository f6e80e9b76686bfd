// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"gatecast/poller"
	"gatecast/stats"
)

const (
	// reloadEvery is how often it is looked whether certificates have changed.
	reloadEvery = 5 * time.Second
	// expiryWarning is how long before its end a certificate is warned of, once a
	// day.
	expiryWarning = 14 * 24 * time.Hour
)

// A keyPair is a certificate with its key, from two files. New connections get what
// was in them last; those that are there are not concerned.
type keyPair struct {
	listener  string // for people and the metric
	cert, key string // constant
	current   atomic.Pointer[tls.Certificate]

	// Of the goroutine that reloads.
	seen   [2]os.FileInfo
	warned time.Time
}

// loadKeyPair loads a pair. The setting is the one to name when that fails.
func loadKeyPair(listener, setting, cert, key string) (*keyPair, error) {
	p := &keyPair{listener: listener, cert: cert, key: key}
	p.changed()
	if err := p.load(); err != nil {
		return nil, &ConfigError{setting, err.Error()}
	}
	return p, nil
}

// suitesOfTLS12 are those with forward secrecy and authenticated encryption:
// crypto/tls's own choice has CBC besides. TLS 1.3 has no others.
var suitesOfTLS12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// config returns a server's TLS configuration with the pair.
func (p *keyPair) config() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current.Load(), nil },
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   suitesOfTLS12,
		NextProtos:     []string{"http/1.1"},
	}
}

func (p *keyPair) load() error {
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("the pair %s and %s cannot be used: %w", p.cert, p.key, err)
	}
	p.current.Store(&pair)
	p.warned = time.Time{}
	return nil
}

// changed reports whether one of the files is another than at the last call.
func (p *keyPair) changed() bool {
	cert, key := changedFile(p.cert, &p.seen[0]), changedFile(p.key, &p.seen[1])
	return cert || key
}

func (p *keyPair) String() string { return "certificate of the " + p.listener + " listener" }

// clientCAs are the authorities of client certificates, from a file. New connections
// are verified by what was in it last.
type clientCAs struct {
	file string
	tls  *poller.TLS
	seen os.FileInfo // of the goroutine that reloads
}

// loadClientCAs loads them into a listener's TLS.
func loadClientCAs(file string, t *poller.TLS) (*clientCAs, error) {
	c := &clientCAs{file: file, tls: t}
	c.changed()
	if err := c.load(); err != nil {
		return nil, &ConfigError{"tls-client-ca", err.Error()}
	}
	return c, nil
}

func (c *clientCAs) String() string { return "client authorities" }

func (c *clientCAs) load() error {
	pool, err := readRoots(c.file)
	if err == nil {
		c.tls.SetClientCAs(pool)
	}
	return err
}

func (c *clientCAs) changed() bool { return changedFile(c.file, &c.seen) }

// readRoots returns the certificates of a PEM file.
func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}

// changedFile reports whether a file is another than at the last call, of which seen
// tells.
func changedFile(name string, seen *os.FileInfo) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false // it is being replaced; the next look will find it
	}
	was := *seen
	*seen = info
	return was == nil || !os.SameFile(was, info) || !was.ModTime().Equal(info.ModTime()) || was.Size() != info.Size()
}

// watched is something that is loaded from files.
type watched interface {
	fmt.Stringer // what it is, for people
	changed() bool
	load() error
}

// A reloader keeps what is loaded from files up to date with them.
type reloader struct {
	files  []watched
	pairs  []*keyPair // of files
	counts *stats.Node
	logger *slog.Logger
	now    func() time.Time
	asked  chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

func startReloader(files []watched, counts *stats.Node, logger *slog.Logger) *reloader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reloader{
		files: files, counts: counts, logger: logger, now: time.Now,
		asked: make(chan struct{}, 1), cancel: cancel, ended: make(chan struct{}),
	}
	for _, f := range files {
		if p, ok := f.(*keyPair); ok {
			r.pairs = append(r.pairs, p)
			r.tell(p)
		}
	}
	go r.run(ctx)
	return r
}

func (r *reloader) run(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-tick.C:
		case <-r.asked:
			asked = true
		case <-ctx.Done():
			return
		}
		for _, f := range r.files {
			if f.changed() || asked {
				r.reload(f)
			}
		}
		for _, p := range r.pairs {
			r.tell(p)
		}
	}
}

// reload loads something anew. What cannot be used leaves the old in place.
func (r *reloader) reload(f watched) {
	if err := f.load(); err != nil {
		r.logger.Error("a changed file cannot be used; what was loaded stays", "of", f.String(), "error", err)
		return
	}
	r.logger.Info("loaded anew", "what", f.String())
}

// tell tells when a certificate expires.
func (r *reloader) tell(p *keyPair) {
	end := p.current.Load().Leaf.NotAfter
	r.counts.CertificateNotAfter.WithLabelValues(p.listener).Set(float64(end.Unix()))
	now := r.now()
	if end.Sub(now) > expiryWarning || now.Sub(p.warned) < 24*time.Hour {
		return
	}
	p.warned = now
	r.logger.Warn("a certificate expires soon; replace its files, and it is loaded by itself", "listener", p.listener, "certificate", p.cert, "notAfter", end)
}

// ask has all loaded anew, soon.
func (r *reloader) ask() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

func (r *reloader) stop() {
	r.cancel()
	<-r.ended
}

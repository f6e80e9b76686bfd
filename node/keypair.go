// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

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

// config returns a server's TLS configuration with the pair.
func (p *keyPair) config() *tls.Config {
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current.Load(), nil },
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
	}
}

func (p *keyPair) load() error {
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("the pair %s and %s cannot be used: %w", p.cert, p.key, err)
	}
	p.current.Store(&pair)
	return nil
}

// changed reports whether one of the files is another than at the last call.
func (p *keyPair) changed() (changed bool) {
	for i, name := range []string{p.cert, p.key} {
		info, err := os.Stat(name)
		if err != nil {
			continue // it is being replaced; the next look will find it
		}
		was := p.seen[i]
		p.seen[i] = info
		changed = changed || was == nil || !os.SameFile(was, info) || !was.ModTime().Equal(info.ModTime()) || was.Size() != info.Size()
	}
	return changed
}

// A reloader keeps key pairs up to date with their files.
type reloader struct {
	pairs  []*keyPair
	counts *stats.Node
	logger *slog.Logger
	now    func() time.Time
	asked  chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

func startReloader(pairs []*keyPair, counts *stats.Node, logger *slog.Logger) *reloader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reloader{
		pairs: pairs, counts: counts, logger: logger, now: time.Now,
		asked: make(chan struct{}, 1), cancel: cancel, ended: make(chan struct{}),
	}
	for _, p := range pairs {
		r.tell(p)
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
		for _, p := range r.pairs {
			if p.changed() || asked {
				r.reload(p)
			}
			r.tell(p)
		}
	}
}

// reload loads a pair anew. One that cannot be used leaves the old one in place.
func (r *reloader) reload(p *keyPair) {
	if err := p.load(); err != nil {
		r.logger.Error("a new certificate cannot be used; the old one stays", "listener", p.listener, "error", err)
		return
	}
	p.warned = time.Time{}
	r.logger.Info("certificate loaded", "listener", p.listener, "notAfter", p.current.Load().Leaf.NotAfter)
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

// ask has all pairs loaded anew, soon.
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

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/gatecast/gatecast/stats/metrics"
)

// reloadEvery is how often it is looked whether files have changed.
const reloadEvery = 5 * time.Second

// watched is something that is loaded from files.
type watched interface {
	fmt.Stringer     // what it is, for people
	files() []string // that load reads
	load() error     // keeps what was loaded when it fails
}

// A watch is something watched, and what was in its files when it was last loaded.
type watch struct {
	watched
	loaded fingerprint // zero until the first look
	failed string      // the last error, "" after success
}

// A fingerprint stands for the contents of some files. Times, sizes and inodes are
// not enough: a copy may keep all of them.
type fingerprint [sha256.Size]byte

// fingerprintOf reads files. A file that cannot be read counts as one of its own.
func fingerprintOf(files []string) fingerprint {
	h := sha256.New()
	for _, name := range files {
		b, err := readRegular(name)
		if err != nil {
			b = []byte(err.Error())
		}
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return fingerprint(h.Sum(nil))
}

// readRegular reads a file, and nothing that a read might wait for.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// A reloader keeps what is loaded from files up to date with them. What cannot be
// used leaves the old in place, and is tried again at each look until it can: a file
// may be half written, or not readable yet, or a key not match its certificate until
// both are replaced.
type reloader struct {
	watches []*watch
	pairs   []*keyPair // of watches
	counts  *metrics.Node
	logger  *slog.Logger
	now     func() time.Time
	asked   chan struct{}
	cancel  context.CancelFunc
	ended   chan struct{}
}

// newReloader returns a reloader of what was loaded when the node started, which looks
// at nothing by itself.
func newReloader(files []watched, counts *metrics.Node, logger *slog.Logger) *reloader {
	r := &reloader{
		counts: counts, logger: logger, now: time.Now,
		asked: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	for _, f := range files {
		r.watches = append(r.watches, &watch{watched: f})
		if p, ok := f.(*keyPair); ok {
			r.pairs = append(r.pairs, p)
			r.reportExpiry(p)
		}
	}
	return r
}

// startReloader starts a reloader.
func startReloader(files []watched, counts *metrics.Node, logger *slog.Logger) *reloader {
	r := newReloader(files, counts, logger)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.run(ctx)
	return r
}

func (r *reloader) run(ctx context.Context) {
	defer close(r.ended)
	r.look(false) // the files may have changed since the node loaded them
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.look(false)
		case <-r.asked:
			r.look(true)
		case <-ctx.Done():
			return
		}
	}
}

// look loads what has changed, or everything.
func (r *reloader) look(everything bool) {
	for _, w := range r.watches {
		// Taken before loading: what changes meanwhile is seen by the next look.
		if now := fingerprintOf(w.files()); everything || w.failed != "" || now != w.loaded {
			r.reload(w, now, everything)
		}
	}
	for _, p := range r.pairs {
		r.reportExpiry(p)
	}
}

// reload loads something again. A failure is logged once, until it is another, or
// somebody has asked.
func (r *reloader) reload(w *watch, now fingerprint, asked bool) {
	if err := w.load(); err != nil {
		if asked || err.Error() != w.failed {
			r.logger.Error("a changed file cannot be used; what was loaded before stays in use, and the file is tried again",
				"of", w.String(), "error", err, "every", reloadEvery.String())
		}
		w.failed = err.Error()
		return
	}
	if w.loaded != (fingerprint{}) {
		r.logger.Info("reloaded", "what", w.String())
	}
	w.loaded, w.failed = now, ""
	if p, ok := w.watched.(*keyPair); ok {
		r.reportExposed(p)
	}
}

// reportExposed warns of a key that others may use.
func (r *reloader) reportExposed(p *keyPair) {
	if err := p.exposed(); err != nil {
		r.logger.Warn("a private key is not kept private", "listener", p.listener, "file", p.key, "problem", err)
	}
}

// reportExpiry says when a certificate expires, or that it has.
func (r *reloader) reportExpiry(p *keyPair) {
	leaf := p.current.Load().Leaf
	r.counts.CertificateNotAfter.WithLabelValues(p.listener).Set(float64(leaf.NotAfter.Unix()))
	now := r.now()
	var what string
	switch {
	case now.After(leaf.NotAfter):
		what = "a certificate has expired; clients that verify it do not connect"
	case now.Before(leaf.NotBefore):
		what = "a certificate is not valid yet; clients that verify it do not connect"
	case leaf.NotAfter.Sub(now) <= expiryWarning:
		what = "a certificate expires soon"
	default:
		return
	}
	if now.Sub(p.warned) < 24*time.Hour {
		return
	}
	p.warned = now
	r.logger.Warn(what+"; replace its files, and they are reloaded", "listener", p.listener, "certificate", p.cert,
		"notBefore", leaf.NotBefore, "notAfter", leaf.NotAfter)
}

// ask has everything reloaded, soon.
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

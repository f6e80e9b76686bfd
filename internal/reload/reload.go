// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package reload keeps what was loaded from files up to date with the files: key pairs,
// certificate authorities, admin tokens, event types.
//
// Files are polled. Watching them with inotify would miss changes on some network file
// systems and, in a Kubernetes Secret, of the symbolic link's target.
package reload

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// interval is the time between two scans.
const interval = 5 * time.Second

// A Source is something loaded from files. The Reloader calls its methods from one
// goroutine.
type Source interface {
	fmt.Stringer     // what it is, for logs
	Files() []string // the files that Load reads
	Load() error     // reads the files; on an error the previous contents stay in use
}

// A Checker is a Source with conditions that can change without a change of its files.
type Checker interface {
	// Check is called after each scan.
	Check(now time.Time)
}

// A watch is a Source and the state of its files when it was last loaded. The
// goroutine that scans owns it.
type watch struct {
	Source
	loaded fingerprint // zero before the first successful load
	failed string      // the last error, "" after success
}

// A Reloader reloads sources when their files change. A load that fails leaves the
// previous contents in use and is retried at each scan until it succeeds: a file
// can be half written, or a key not match its certificate until both are replaced.
type Reloader struct {
	logger *slog.Logger

	// Owned by the goroutine that calls Scan: the constructor's, then run.
	watches []*watch

	// Any goroutine.
	requests chan struct{} // capacity 1
	cancel   context.CancelFunc
	ended    chan struct{} // closed when run has returned
}

// New returns a Reloader of sources that have been loaded. It is idle until Start.
func New(sources []Source, logger *slog.Logger) *Reloader {
	r := &Reloader{logger: logger, requests: make(chan struct{}, 1), ended: make(chan struct{})}
	for _, s := range sources {
		r.watches = append(r.watches, &watch{Source: s})
	}
	return r
}

// Start scans once, because files can have changed since they were loaded, and starts
// the goroutine that scans from then on.
func (r *Reloader) Start() {
	r.Scan(false)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.run(ctx)
}

// Request has everything reloaded soon. Any goroutine can call it, also after Stop.
func (r *Reloader) Request() {
	select {
	case r.requests <- struct{}{}:
	default: // one is pending
	}
}

// Stop ends the goroutine of Start and waits for it.
func (r *Reloader) Stop() {
	r.cancel()
	<-r.ended
}

func (r *Reloader) run(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.Scan(false)
		case <-r.requests:
			r.Scan(true)
		case <-ctx.Done():
			return
		}
	}
}

// Scan reloads the sources whose files changed or whose last load failed, or all of
// them, and then runs the checks. A running Reloader calls it; it must not be called by
// others then.
func (r *Reloader) Scan(all bool) {
	for _, w := range r.watches {
		// Taken before loading: a change during the load is found by the next scan.
		if now := fingerprintOf(w.Files()); all || w.failed != "" || now != w.loaded {
			r.reload(w, now, all)
		}
	}
	for _, w := range r.watches {
		if c, ok := w.Source.(Checker); ok {
			c.Check(time.Now())
		}
	}
}

// reload loads a source. The same error is logged once, unless the reload was requested.
func (r *Reloader) reload(w *watch, now fingerprint, requested bool) {
	if err := w.Load(); err != nil {
		if requested || err.Error() != w.failed {
			r.logger.Error("cannot load a changed file; the previous contents stay in use; retrying",
				"what", w.String(), "error", err, "every", interval.String())
		}
		w.failed = err.Error()
		return
	}
	if w.loaded != (fingerprint{}) {
		r.logger.Info("reloaded", "what", w.String())
	}
	w.loaded, w.failed = now, ""
}

// A fingerprint is a digest of the contents of some files. Modification time, size and
// inode are not enough: a copy can keep all of them.
type fingerprint [sha256.Size]byte

// fingerprintOf reads files. A file that cannot be read is represented by its error.
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

// readRegular reads a regular file. Reading a named pipe could block for ever.
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

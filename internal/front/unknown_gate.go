// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/netaddr"
)

const (
	// maxVerifying limits the unknown credentials of one source that are verified at once.
	maxVerifying = 8
	// maxUnknownPerSource limits those, and the ones that wait for them.
	maxUnknownPerSource = 64
	// maxUnknown limits those of all sources. Half of the handshake slots remain for
	// gateways that are known.
	maxUnknown = maxHandshakes / 2
	// unknownTimeout limits the wait.
	unknownTimeout = 2 * time.Second
)

// An unknownGate limits the attempts with credentials that nobody knows. Each can cost a
// question to the platform or to the log's servers. Any goroutine can call its methods. The
// zero value is ready.
type unknownGate struct {
	mu       sync.Mutex
	attempts int // of all sources
	sources  map[netip.Addr]*unknownSource
}

// An unknownSource is the attempts of one source.
type unknownSource struct {
	attempts  int           // verifying or waiting; guarded by unknownGate.mu
	verifying chan struct{} // a semaphore
}

// enter waits until a credential from addr can be verified, or returns the refusal. The
// caller calls leave after it.
func (g *unknownGate) enter(addr netip.Addr) (leave func(), refused *refusal) {
	source := netaddr.Source(addr)
	s, refused := g.add(source)
	if refused != nil {
		return nil, refused
	}
	timer := time.NewTimer(unknownTimeout)
	defer timer.Stop()
	select {
	case s.verifying <- struct{}{}:
		return func() {
			<-s.verifying
			g.remove(source, s)
		}, nil
	case <-timer.C:
		g.remove(source, s)
		return nil, tooManyUnknown()
	}
}

func (g *unknownGate) add(source netip.Addr) (*unknownSource, *refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[source]
	switch {
	case g.attempts >= maxUnknown:
		return nil, unavailable("too many tokens are being verified")
	case s == nil:
		s = &unknownSource{verifying: make(chan struct{}, maxVerifying)}
		if g.sources == nil {
			g.sources = make(map[netip.Addr]*unknownSource)
		}
		g.sources[source] = s
	case s.attempts >= maxUnknownPerSource:
		return nil, tooManyUnknown()
	}
	g.attempts++
	s.attempts++
	return s, nil
}

func (g *unknownGate) remove(source netip.Addr, s *unknownSource) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts--
	if s.attempts--; s.attempts == 0 {
		delete(g.sources, source)
	}
}

func tooManyUnknown() *refusal {
	return rateLimited("too many unknown tokens from this address are being verified", time.Second)
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/frame"

	"github.com/google/go-cmp/cmp"
)

const (
	resumedText = `{"type":"connection.ack","gatewayId":"gw-1","connectionId":"` + connectionID + `","timestamp":"2026-01-02T03:04:05.000000000Z","cursor":"k3f9-1","resumed":true}`
	resyncText  = `{"type":"resync.required","reason":"not_retained","cursor":"k3f9-500"}`
)

// A visit is one connection as a server of the tests sees it.
type visit struct{ since, replay string }

// serveVisits runs a script a connection, and returns the visits of all when the
// context has ended, which it does behind the last.
func serveVisits(t *testing.T, change func(*Config), scripts ...func(*peer)) (visits []visit, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := serveTLS(t, func(p *peer, r *http.Request) {
		n := len(visits)
		visits = append(visits, visit{r.Header.Get("Last-Event-ID"), r.Header.Get("Replay")})
		scripts[n](p)
		if n == len(scripts)-1 {
			cancel()
			p.read() // its goodbye
		}
	})
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, time.Millisecond
	cfg.Handler = func(context.Context, Event) error { return nil }
	change(&cfg)
	err = Run(ctx, cfg)
	return visits, err
}

// slow closes as a server closes on a slow consumer.
func (p *peer) slow() {
	p.t.Helper()
	p.close(frame.CloseTryAgainLater, "")
	p.closed(frame.CloseTryAgainLater)
}

func TestRunResumes(t *testing.T) {
	var handled, resyncs []string
	visits, err := serveVisits(t,
		func(cfg *Config) {
			cfg.ReplayLatest = true
			cfg.Handler = func(_ context.Context, e Event) error { handled = append(handled, e.ID); return nil }
			cfg.OnResync = func(_ context.Context, r Resync) { resyncs = append(resyncs, r.Reason+" "+r.Cursor) }
		},
		func(p *peer) { p.ack(); p.slow() }, // before any event
		func(p *peer) {
			p.text(resumedText)
			p.event(1)
			p.hears(`{"type":"event.ack","id":"k3f9-1"}`)
			p.event(2)
			p.hears(`{"type":"event.ack","id":"k3f9-2"}`)
			p.slow()
		},
		func(p *peer) { p.slow() }, // before the ack
		func(p *peer) { p.ack(); p.text(resyncText); p.slow() },
		func(p *peer) { p.text(resumedText); p.text(`{"type":"new.thing"}`); p.slow() },
		func(p *peer) { p.text(resumedText) },
	)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want := []visit{{"", "latest"}, {"k3f9-1041", "latest"}, {"k3f9-2", "latest"}, {"k3f9-2", "latest"}, {"k3f9-500", "latest"}, {"k3f9-500", "latest"}}
	if diff := cmp.Diff(want, visits, cmp.AllowUnexported(visit{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"k3f9-1", "k3f9-2"}, handled); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"not_retained k3f9-500"}, resyncs); diff != "" {
		t.Error(diff)
	}
}

// Another process goes on where one has ended; the store comes before Since.
func TestRunGoesOnFromItsStore(t *testing.T) {
	file := FileCursor(filepath.Join(t.TempDir(), "cursor"))
	withStore := func(cfg *Config) { cfg.Cursor, cfg.Since = file, "k3f9-0" }
	visits, _ := serveVisits(t, withStore, func(p *peer) {
		p.text(resumedText)
		p.event(7)
		p.hears(`{"type":"event.ack","id":"k3f9-7"}`)
	})
	again, _ := serveVisits(t, withStore, func(p *peer) { p.text(resumedText) })
	if got := append(visits, again...); len(got) != 2 || got[0].since != "k3f9-0" || got[1].since != "k3f9-7" {
		t.Errorf("positions %v", got)
	}
}

func TestHandlerFails(t *testing.T) {
	long := strings.Repeat("é", maxReason)
	_, _ = serveVisits(t,
		func(cfg *Config) {
			cfg.Handler = func(ctx context.Context, e Event) error {
				if e.ID == "k3f9-1" {
					return errors.New("no \"room\"")
				}
				if err := AckDeployment(ctx, DeploymentAck{DeploymentID: "d1", Status: "failed", ErrorCode: "E7"}); err != nil {
					t.Error(err)
				}
				return errors.New(long)
			}
		},
		func(p *peer) {
			p.text(resumedText)
			p.event(1)
			p.hears(`{"type":"event.ack","id":"k3f9-1","status":"failed","error":"no \"room\""}`)
			p.event(2)
			p.hears(`{"type":"deployment.ack","payload":{"deploymentId":"d1","status":"failed","errorCode":"E7"}}`)
			p.hears(`{"type":"event.ack","id":"k3f9-2","status":"failed","error":"` + long[:maxReason] + `"}`)
		})
	if err := AckDeployment(t.Context(), DeploymentAck{}); err != ErrNoConnection {
		t.Error(err)
	}
}

// An event whose handler was interrupted by the end of the context comes again.
func TestInterruptedHandler(t *testing.T) {
	store := new(MemoryCursor)
	var cancel context.CancelFunc
	cfg := serveTLS(t, func(p *peer, _ *http.Request) {
		p.text(resumedText)
		p.event(1)
		p.hears(`{"type":"event.ack","id":"k3f9-1"}`)
		p.event(2)
		p.goodbye()
	})
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Cursor = store
	cfg.Handler = func(ctx context.Context, e Event) error {
		if e.ID == "k3f9-2" {
			cancel()
		}
		return ctx.Err()
	}
	if err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if position, _ := store.Load(t.Context()); position != "k3f9-1" {
		t.Errorf("the position is %q", position)
	}
}

// A gateway whose position was refused keeps it until it has handled the resync,
// which the connection may end before.
func TestResyncIsNotLost(t *testing.T) {
	resyncs := 0
	visits, _ := serveVisits(t,
		func(cfg *Config) {
			cfg.Since = "k3f9-5"
			cfg.OnResync = func(context.Context, Resync) { resyncs++ }
		},
		func(p *peer) { p.ack(); p.slow() },
		func(p *peer) { p.ack(); p.text(resyncText); p.slow() },
		func(p *peer) { p.text(resumedText) },
	)
	want := []visit{{since: "k3f9-5"}, {since: "k3f9-5"}, {since: "k3f9-500"}}
	if diff := cmp.Diff(want, visits, cmp.AllowUnexported(visit{})); diff != "" || resyncs != 1 {
		t.Errorf("%d resyncs\n%s", resyncs, diff)
	}
}

// A resync that was interrupted by the end of the context comes again.
func TestInterruptedResync(t *testing.T) {
	cfg := serveTLS(t, func(p *peer, _ *http.Request) {
		p.ack()
		p.text(resyncText)
		p.goodbye()
	})
	store := new(MemoryCursor)
	if err := store.Save(t.Context(), "k3f9-5"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.Cursor = store
	cfg.Handler = func(context.Context, Event) error { return nil }
	cfg.OnResync = func(context.Context, Resync) { cancel() }
	if err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if position, _ := store.Load(t.Context()); position != "k3f9-5" {
		t.Errorf("the position is %q", position)
	}
}

// What was received before the server closed, and can't be acked any more, comes
// again instead of counting as handled.
func TestNoAckIsDropped(t *testing.T) {
	closed := make(chan struct{})
	var handled []string
	visits, _ := serveVisits(t,
		func(cfg *Config) {
			cfg.Handler = func(_ context.Context, e Event) error {
				<-closed
				handled = append(handled, e.ID)
				return nil
			}
		},
		func(p *peer) {
			p.text(resumedText)
			p.event(1)
			p.event(2)
			p.slow()
			close(closed)
		},
		func(p *peer) {
			p.text(resumedText)
			p.event(2)
			p.hears(`{"type":"event.ack","id":"k3f9-2"}`)
		},
	)
	if diff := cmp.Diff([]string{"k3f9-1", "k3f9-2"}, handled); diff != "" {
		t.Error(diff)
	}
	if want := []visit{{}, {since: "k3f9-1"}}; !cmp.Equal(want, visits, cmp.AllowUnexported(visit{})) {
		t.Errorf("visits %v, want %v", visits, want)
	}
}

// A brokenStore saves nothing.
type brokenStore struct{ MemoryCursor }

func (*brokenStore) Save(context.Context, string) error { return errors.New("disk full") }

func TestSaveFails(t *testing.T) {
	var told []string
	_, _ = serveVisits(t,
		func(cfg *Config) {
			cfg.Cursor, cfg.Since = new(brokenStore), "k3f9-0"
			cfg.OnState = func(s State) {
				if s.Phase == Connected && s.Err != nil {
					told = append(told, fmt.Sprint(s.Cursor, " ", s.Err))
				}
			}
		},
		func(p *peer) {
			p.text(resumedText)
			p.event(1)
			p.hears(`{"type":"event.ack","id":"k3f9-1"}`)
		})
	if diff := cmp.Diff([]string{"k3f9-1 disk full"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestFileCursor(t *testing.T) {
	dir := t.TempDir()
	f := FileCursor(filepath.Join(dir, "cursor"))
	if got, err := f.Load(t.Context()); got != "" || err != nil {
		t.Errorf("of no file: %q, %v", got, err)
	}
	for _, position := range []string{"k3f9-1", "k3f9-20"} {
		if err := f.Save(t.Context(), position); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Load(t.Context()); got != position || err != nil {
			t.Errorf("%q, %v; want %q", got, err, position)
		}
	}
	if info, err := os.Stat(string(f)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is left behind", left)
	}
	if err := os.WriteFile(string(f), []byte("two\nlines"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(t.Context()); err == nil || !strings.Contains(err.Error(), string(f)) {
		t.Errorf("of garbage: %v", err)
	}
	missing := FileCursor(filepath.Join(dir, "no", "cursor"))
	if err := missing.Save(t.Context(), "x"); err == nil {
		t.Error("saved in a folder that is not there")
	}
}

// A program that imports the client gets no part of the server.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		first, _, _ := strings.Cut(dep, "/")
		ours := dep == "github.com/gatecast/gatecast/client" || dep == "github.com/gatecast/gatecast/frame"
		ws := strings.HasPrefix(dep, "github.com/gobwas/") || strings.HasPrefix(dep, "github.com/klauspost/compress/")
		if std := !strings.Contains(first, "."); !std && !ours && !ws {
			t.Errorf("the client brings %s", dep)
		}
	}
}

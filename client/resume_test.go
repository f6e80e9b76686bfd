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

	"github.com/google/go-cmp/cmp"
)

const (
	resumedText = `{"type":"connection.ack","gatewayId":"gw-1","connectionId":"` + connectionID + `","timestamp":"2026-01-02T03:04:05.000000000Z","cursor":"k3f9-1","resumed":true}`
	resyncText  = `{"type":"resync.required","reason":"not_retained","cursor":"k3f9-500"}`
)

// resumeHeaders are the headers of an upgrade request that say where to resume.
type resumeHeaders struct{ since, replay string }

// serveScripts runs Run against a server with one script per connection, until the last script has
// ended. It returns the headers of each upgrade request, and Run's error.
func serveScripts(t *testing.T, change func(*Config), scripts ...func(*peer)) (requests []resumeHeaders, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := serveTLS(t, func(p *peer, r *http.Request) {
		n := len(requests)
		requests = append(requests, resumeHeaders{r.Header.Get("Last-Event-ID"), r.Header.Get("Replay")})
		scripts[n](p)
		if n == len(scripts)-1 {
			cancel()
			p.read() // the close frame
		}
	})
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, time.Millisecond
	cfg.Handler = func(context.Context, Event) error { return nil }
	change(&cfg)
	err = Run(ctx, cfg)
	return requests, err
}

// closeSlow closes as the server does for a slow consumer.
func (p *peer) closeSlow() {
	p.t.Helper()
	p.close(CloseTryAgainLater, "")
	p.closed(CloseTryAgainLater)
}

func TestRunResumes(t *testing.T) {
	var handled, resyncs []string
	requests, err := serveScripts(t,
		func(cfg *Config) {
			cfg.ReplayLatest = true
			cfg.Handler = func(_ context.Context, e Event) error { handled = append(handled, e.ID); return nil }
			cfg.OnResync = func(_ context.Context, r Resync) { resyncs = append(resyncs, r.Reason+" "+r.Cursor) }
		},
		func(p *peer) { p.ack(); p.closeSlow() }, // before any event
		func(p *peer) {
			p.text(resumedText)
			p.event(1)
			p.receives(`{"type":"event.ack","id":"k3f9-1"}`)
			p.event(2)
			p.receives(`{"type":"event.ack","id":"k3f9-2"}`)
			p.closeSlow()
		},
		func(p *peer) { p.closeSlow() }, // before the ack
		func(p *peer) { p.ack(); p.text(resyncText); p.closeSlow() },
		func(p *peer) { p.text(resumedText); p.text(`{"type":"new.thing"}`); p.closeSlow() },
		func(p *peer) { p.text(resumedText) },
	)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want := []resumeHeaders{{"", "latest"}, {"k3f9-1041", "latest"}, {"k3f9-2", "latest"}, {"k3f9-2", "latest"}, {"k3f9-500", "latest"}, {"k3f9-500", "latest"}}
	if diff := cmp.Diff(want, requests, cmp.AllowUnexported(resumeHeaders{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"k3f9-1", "k3f9-2"}, handled); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"not_retained k3f9-500"}, resyncs); diff != "" {
		t.Error(diff)
	}
}

// A process resumes from the stored position; the store takes precedence over Since.
func TestRunResumesFromStore(t *testing.T) {
	file := FileCursor(filepath.Join(t.TempDir(), "cursor"))
	withStore := func(cfg *Config) { cfg.Cursor, cfg.Since = file, "k3f9-0" }
	requests, _ := serveScripts(t, withStore, func(p *peer) {
		p.text(resumedText)
		p.event(7)
		p.receives(`{"type":"event.ack","id":"k3f9-7"}`)
	})
	again, _ := serveScripts(t, withStore, func(p *peer) { p.text(resumedText) })
	if got := append(requests, again...); len(got) != 2 || got[0].since != "k3f9-0" || got[1].since != "k3f9-7" {
		t.Errorf("positions %v", got)
	}
}

func TestHandlerFails(t *testing.T) {
	long := strings.Repeat("é", maxErrorText)
	_, _ = serveScripts(t,
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
			p.receives(`{"type":"event.ack","id":"k3f9-1","status":"failed","error":"no \"room\""}`)
			p.event(2)
			p.receives(`{"type":"deployment.ack","payload":{"deploymentId":"d1","status":"failed","errorCode":"E7"}}`)
			p.receives(`{"type":"event.ack","id":"k3f9-2","status":"failed","error":"` + long[:maxErrorText] + `"}`)
		})
	if err := AckDeployment(t.Context(), DeploymentAck{}); err != ErrNoConnection {
		t.Error(err)
	}
}

// An event is sent again if the context ended while its handler ran.
func TestInterruptedHandler(t *testing.T) {
	store := new(MemoryCursor)
	var cancel context.CancelFunc
	cfg := serveTLS(t, func(p *peer, _ *http.Request) {
		p.text(resumedText)
		p.event(1)
		p.receives(`{"type":"event.ack","id":"k3f9-1"}`)
		p.event(2)
		p.closedNormally()
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

// A gateway keeps a refused position until it has handled the resync, because the connection can
// end before the resync arrives.
func TestResyncIsNotLost(t *testing.T) {
	resyncs := 0
	requests, _ := serveScripts(t,
		func(cfg *Config) {
			cfg.Since = "k3f9-5"
			cfg.OnResync = func(context.Context, Resync) { resyncs++ }
		},
		func(p *peer) { p.ack(); p.closeSlow() },
		func(p *peer) { p.ack(); p.text(resyncText); p.closeSlow() },
		func(p *peer) { p.text(resumedText) },
	)
	want := []resumeHeaders{{since: "k3f9-5"}, {since: "k3f9-5"}, {since: "k3f9-500"}}
	if diff := cmp.Diff(want, requests, cmp.AllowUnexported(resumeHeaders{})); diff != "" || resyncs != 1 {
		t.Errorf("%d resyncs\n%s", resyncs, diff)
	}
}

// A resync is sent again if the context ended while OnResync ran.
func TestInterruptedResync(t *testing.T) {
	cfg := serveTLS(t, func(p *peer, _ *http.Request) {
		p.ack()
		p.text(resyncText)
		p.closedNormally()
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

// An event that was received before the server closed, and cannot be acked any more, is sent again.
func TestUnackedEventIsSentAgain(t *testing.T) {
	closed := make(chan struct{})
	var handled []string
	requests, _ := serveScripts(t,
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
			p.closeSlow()
			close(closed)
		},
		func(p *peer) {
			p.text(resumedText)
			p.event(2)
			p.receives(`{"type":"event.ack","id":"k3f9-2"}`)
		},
	)
	if diff := cmp.Diff([]string{"k3f9-1", "k3f9-2"}, handled); diff != "" {
		t.Error(diff)
	}
	if want := []resumeHeaders{{}, {since: "k3f9-1"}}; !cmp.Equal(want, requests, cmp.AllowUnexported(resumeHeaders{})) {
		t.Errorf("requests %v, want %v", requests, want)
	}
}

// The Save of a brokenStore fails.
type brokenStore struct{ MemoryCursor }

func (*brokenStore) Save(context.Context, string) error { return errors.New("disk full") }

func TestSaveFails(t *testing.T) {
	var reported []string
	_, _ = serveScripts(t,
		func(cfg *Config) {
			cfg.Cursor, cfg.Since = new(brokenStore), "k3f9-0"
			cfg.OnState = func(s State) {
				if s.Phase == Connected && s.Err != nil {
					reported = append(reported, fmt.Sprint(s.Cursor, " ", s.Err))
				}
			}
		},
		func(p *peer) {
			p.text(resumedText)
			p.event(1)
			p.receives(`{"type":"event.ack","id":"k3f9-1"}`)
		})
	if diff := cmp.Diff([]string{"k3f9-1 disk full"}, reported); diff != "" {
		t.Error(diff)
	}
}

func TestFileCursor(t *testing.T) {
	dir := t.TempDir()
	f := FileCursor(filepath.Join(dir, "cursor"))
	if got, err := f.Load(t.Context()); got != "" || err != nil {
		t.Errorf("Load without a file: %q, %v", got, err)
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
		t.Errorf("the folder contains %v, want only the cursor", left)
	}
	if err := os.WriteFile(string(f), []byte("two\nlines"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(t.Context()); err == nil || !strings.Contains(err.Error(), string(f)) {
		t.Errorf("Load of an invalid file: %v", err)
	}
	missing := FileCursor(filepath.Join(dir, "no", "cursor"))
	if err := missing.Save(t.Context(), "x"); err == nil {
		t.Error("Save succeeded in a folder that does not exist")
	}
}

// The client imports the standard library and gobwas only.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		first, _, _ := strings.Cut(dep, "/")
		ws := strings.HasPrefix(dep, "github.com/gobwas/")
		if std := !strings.Contains(first, "."); !std && !ws && dep != "github.com/gatecast/gatecast/client" {
			t.Errorf("the client depends on %s", dep)
		}
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog/storage"
	"github.com/gatecast/gatecast/test/testenv"
	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// A world is a NATS server whose store can go back, and nodes' logs on it. It knows every id that
// was given out, and the event it belongs to.
type world struct {
	t     *testing.T
	nats  *natsenv.Server
	conn  *nats.Conn
	js    jetstream.JetStream
	logs  []*testLog
	stops []func()

	given  map[event.Cursor]string // body
	number int
}

func newWorld(t *testing.T, nodes int) *world {
	t.Helper()
	w := &world{t: t, nats: natsenv.Start(t), given: make(map[event.Cursor]string)}
	w.conn = w.nats.Conn(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	var err error
	if w.js, err = jetstream.New(w.conn); err != nil {
		t.Fatal(err)
	}
	w.logs, w.stops = make([]*testLog, nodes), make([]func(), nodes)
	for i := range nodes {
		w.open(i)
	}
	t.Cleanup(func() {
		for i := range w.logs {
			w.close(i)
		}
	})
	return w
}

// open opens a node's log, with a tail.
func (w *world) open(i int) {
	w.t.Helper()
	l, err := openLog(w.t.Context(), config{URL: w.nats.URL(), Node: fmt.Sprint(i), Logger: slog.New(slog.NewTextHandler(w.t.Output(), nil)).With("node", i)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var tail sync.WaitGroup
	tail.Go(func() {
		known, at := l.Lineage(), uint64(0)
		for ctx.Err() == nil {
			_ = l.Follow(ctx, known, at, Follower{
				Event:          func(e Entry) { w.sees(e); at = e.Cursor.Seq },
				LineageChanged: func(to *Lineage, common uint64) { known, at = to, min(at, common) },
			})
			sleep(ctx, 20*time.Millisecond)
		}
	})
	w.logs[i] = l
	w.stops[i] = func() { cancel(); tail.Wait(); closeLog(w.t, l) }
}

func (w *world) close(i int) {
	if w.stops[i] != nil {
		w.stops[i]()
		w.stops[i] = nil
	}
}

var seen sync.Map // of all tests: ids of events that tails got, and their bodies

// sees checks that every tail gets the same event for an id.
func (w *world) sees(e Entry) {
	if e.Body == nil {
		return
	}
	if other, twice := seen.LoadOrStore(e.Cursor, string(e.Body)); twice && other != string(e.Body) {
		w.t.Errorf("a tail got %v as %s, which was %s", e.Cursor, e.Body, other)
	}
}

// append appends an event through a node, until it gets a receipt.
func (w *world) append(i int) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.number++
		ev, body := newEvent(w.number)
		c, err := w.logs[i].Append(w.t.Context(), ev, body)
		if err == nil {
			if other, twice := w.given[c]; twice {
				w.t.Fatalf("%v was given to %s, and is given to %s", c, other, body)
			}
			w.given[c] = string(body)
			return
		}
		if !errors.Is(err, ErrUnavailable) || time.Now().After(deadline) {
			w.t.Fatalf("node %d takes nothing: %v", i, err)
		}
	}
}

// save copies the store.
func (w *world) save(dir string) {
	w.t.Helper()
	w.nats.Stop()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(w.nats.Options.StoreDir))); err != nil {
		w.t.Fatal(err)
	}
	w.nats.Restart()
}

// goBack restarts the server with a copy of its store, or with an empty one.
func (w *world) goBack(dir string) {
	w.t.Helper()
	w.nats.Stop()
	err := os.RemoveAll(w.nats.Options.StoreDir)
	if err == nil && dir != "" {
		err = os.CopyFS(w.nats.Options.StoreDir, os.DirFS(dir))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.nats.Restart()
}

// remake deletes the stream of events, and makes it again as it was, or leaves that to the
// nodes.
func (w *world) remake(byHand bool) {
	w.t.Helper()
	var cfg jetstream.StreamConfig
	testenv.Eventually(w.t, "there is a stream to delete", func() bool {
		s, err := w.js.Stream(w.t.Context(), streamName)
		if err == nil {
			cfg = s.CachedInfo().Config
			err = w.js.DeleteStream(w.t.Context(), streamName)
		}
		return err == nil
	})
	if byHand {
		testenv.Eventually(w.t, "the stream is made again", func() bool { // the server may still be removing its files
			_, err := w.js.CreateOrUpdateStream(w.t.Context(), cfg)
			return err == nil
		})
	}
}

func (w *world) purge() {
	w.t.Helper()
	testenv.Eventually(w.t, "the stream is purged", func() bool {
		s, err := w.js.Stream(w.t.Context(), streamName)
		return err == nil && s.Purge(w.t.Context()) == nil
	})
	// Until the nodes have appended the marker again, the stream does not say what the epochs
	// were.
	for _, l := range w.logs {
		l.checkSoon()
		testenv.Eventually(w.t, "the stream has its marker again", func() bool {
			found, err := l.history.newest(w.t.Context())
			return err == nil && (found != nil || l.Lineage().marker == 0)
		})
	}
}

// check waits until all nodes are ready, and compares them with the stream.
func (w *world) check() {
	w.t.Helper()
	for i, l := range w.logs {
		testenv.Eventually(w.t, fmt.Sprintf("node %d is in order", i), func() bool { return l.Check(w.t.Context()) == nil })
	}
	testenv.Eventually(w.t, "the nodes agree", func() bool {
		for _, l := range w.logs[1:] {
			if !l.Lineage().equal(w.logs[0].Lineage()) {
				return false
			}
		}
		return true
	})
	s, err := w.js.Stream(w.t.Context(), streamName)
	if err != nil {
		w.t.Fatal(err)
	}
	state := s.CachedInfo().State
	has := make(map[event.Cursor]bool)
	for _, l := range w.logs {
		for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
			m, err := s.GetMsg(w.t.Context(), seq)
			if err != nil || m.Subject == l.history.marker {
				continue
			}
			name := l.CursorOf(seq)
			if body, ok := w.given[name]; ok && body != string(m.Data) {
				w.t.Errorf("%v is %s, and was given to %s", name, m.Data, body)
			}
			has[name] = true
		}
		for c := range w.given {
			_, ok, err := l.Find(w.t.Context(), c)
			if err != nil {
				w.t.Fatal(err)
			}
			if gone := c.Seq < state.FirstSeq; ok != has[c] && (!ok || !gone) {
				w.t.Errorf("%v is honoured: %v; it is in the stream: %v (%d to %d); lineage %+v", c, ok, has[c], state.FirstSeq, state.LastSeq, l.Lineage())
			}
		}
	}
	for c, body := range w.given { // a name that the stream's own events have is theirs
		for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
			m, err := s.GetMsg(w.t.Context(), seq)
			if err == nil && string(m.Data) == body && w.logs[0].CursorOf(seq) != c && !strings.HasSuffix(m.Subject, kindEpoch) {
				w.t.Errorf("%s had the receipt %v, and is called %v", body, c, w.logs[0].CursorOf(seq))
			}
		}
	}
}

// Whatever happens to the stream and the nodes: no id belongs to two events, the nodes agree,
// and a position is valid if and only if the stream has its event.
func TestHistories(t *testing.T) {
	t.Parallel() // mostly waits
	if testing.Short() {
		t.Skip("starts servers again and again")
	}
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, 2)
			saved := filepath.Join(t.TempDir(), "saved")
			some := func() {
				for range 1 + r.IntN(8) {
					w.append(r.IntN(len(w.logs)))
				}
			}
			some()
			w.save(saved)
			for range 6 {
				some()
				switch n := r.IntN(10); n {
				case 0:
					t.Log("saved")
					w.save(saved)
				case 1, 2, 3:
					t.Log("went back")
					w.goBack(saved)
				case 4:
					t.Log("emptied")
					w.goBack("")
				case 5, 6:
					t.Log("made again, by hand:", n == 5)
					w.remake(n == 5)
				case 7:
					t.Log("purged")
					w.purge()
				default:
					i := r.IntN(len(w.logs))
					t.Log("node restarted:", i)
					w.close(i)
					w.open(i)
				}
				if r.IntN(2) == 0 {
					w.check()
				}
			}
			some()
			w.check()
		})
	}
}

// Nodes that start together, with no other running, begin one epoch. A node that starts or
// restarts while another runs begins none.
func TestRollingRestartBeginsNoEpoch(t *testing.T) {
	w := newWorld(t, 2)
	w.append(0)
	epoch := w.logs[0].Epoch()
	for i := range w.logs {
		w.close(i)
		w.open(i)
		w.append(i)
	}
	if w.logs[0].Epoch() != epoch || w.logs[1].Epoch() != epoch {
		t.Errorf("epochs %d and %d, was %d", w.logs[0].Epoch(), w.logs[1].Epoch(), epoch)
	}
	w.close(0)
	w.close(1)
	w.open(0) // alone: nobody knows what the server has lost
	if w.logs[0].Epoch() == epoch {
		t.Error("a node that starts alone begins no epoch")
	}
	w.open(1)
	w.check()
}

// A node of a version before markers that uses the log keeps other nodes from beginning an
// epoch.
func TestUpgradeBeginsNoEpoch(t *testing.T) {
	w := newWorld(t, 1)
	w.append(0)
	epoch := w.logs[0].Epoch()
	w.close(0)
	old, err := w.conn.Subscribe("gatecast.bus."+anyNode, func(m *nats.Msg) { _ = m.Respond([]byte("old")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := w.conn.Flush(); err != nil { // the server has the subscription
		t.Fatal(err)
	}
	w.open(0)
	if w.logs[0].Epoch() != epoch {
		t.Error("an epoch began that the other node does not know")
	}
	if err := old.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
}

// A receipt waits until its epoch is known, also without a tail.
func TestReceiptsAreHeld(t *testing.T) {
	w := newWorld(t, 1)
	other, err := openLog(t.Context(), config{URL: w.nats.URL(), Node: "other", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, other) })
	l := w.logs[0]
	marked, err := l.history.mark(t.Context(), l.Lineage().next(newEpoch(l.Epoch()), l.Last().Seq), storage.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	ev, body := newEvent(1)
	c, err := other.Append(t.Context(), ev, body)
	if err != nil || c.Epoch != marked.Epoch() {
		t.Errorf("the receipt is %v, %v; want epoch %s", c, err, formatEpoch(marked.Epoch()))
	}
}

// Markers are appended again before retention removes them, and after a purge.
func TestMarkersAreRenewed(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			var l *testLog
			if shared {
				w := newWorld(t, 1)
				w.append(0)
				w.close(0)
				w.open(0)
				l = w.logs[0]
			} else {
				dir := t.TempDir()
				closeLog(t, open(t, config{Dir: dir}))
				l = open(t, config{Dir: dir})
			}
			epoch, c := l.Epoch(), add(t, l, 1)
			if err := l.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.checkSoon()
			testenv.Eventually(t, "the stream has a marker again", func() bool {
				found, err := l.history.newest(t.Context())
				return err == nil && found != nil && found.Epoch() == epoch
			})
			if _, ok := l.Resolve(c); !ok || l.Epoch() != epoch {
				t.Errorf("%v is no position any more", c)
			}
		})
	}
}

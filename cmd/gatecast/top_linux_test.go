// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

var topStart = time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC)

// statsText is the stats of a node with some connections and shards, after it has
// delivered so many events.
func statsText(connections, shards, delivered int) string {
	var conns, sh []string
	for i := range connections {
		conns = append(conns, fmt.Sprintf(`{"gatewayId":"edge-%d","connectionId":"c%d","connectedAt":"2027-01-31T09:58:00Z","lastHeartbeat":"2027-01-31T09:59:5%dZ",`+
			`"status":"connected","remoteAddr":"10.0.0.%d:40000","eventsSent":%d,"queuedBytes":%d,"cursor":null,"node":"n1","shard":%d}`,
			i, i, i%10, i, 1000*i, i%3*3000, i%shards))
	}
	for i := range shards {
		sh = append(sh, fmt.Sprintf(`{"connections":%d,"gateways":%d,"queued":%d,"delivered":%d}`, 1000*i+5, 1000*i, 2048*i, delivered/shards))
	}
	return fmt.Sprintf(`{"gatewayConnections":{"totalActive":%d,"connections":[%s]},`+
		`"eventDelivery":{"totalEventsSent":%d,"failedDeliveries":%d,"lastFailureTime":"2027-01-31T09:59:00Z","lastFailureReason":"slow consumer"},`+
		`"node":{"id":"n1","version":"1.2.3","startedAt":"2027-01-31T07:00:00Z","shards":[%s]}}`,
		1234567, strings.Join(conns, ","), delivered, delivered/100, strings.Join(sh, ","))
}

// look adds what a node says of itself to a view.
func (v *topView) poll(t *testing.T, text string, full bool, after time.Duration) {
	t.Helper()
	var s nodeStats
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	v.add(&s, full, topStart.Add(after))
}

func TestTopView(t *testing.T) {
	for _, c := range []struct {
		name          string
		width, height int
		make          func(v *topView)
	}{
		{"first-poll", 0, 0, func(v *topView) { v.poll(t, statsText(25, 2, 800), true, 0) }},
		{"rates", 100, 24, func(v *topView) {
			v.poll(t, statsText(5, 2, 800), true, 0)
			v.poll(t, statsText(5, 2, 2800), true, 2*time.Second)
		}},
		{"small", 60, 12, func(v *topView) { v.poll(t, statsText(25, 64, 800), true, 0) }},
		{"tiny", 10, 3, func(v *topView) { v.poll(t, statsText(25, 64, 800), true, 0) }},
		{"restarted", 100, 24, func(v *topView) {
			v.poll(t, statsText(1, 2, 800), true, 0)
			v.poll(t, strings.Replace(statsText(1, 2, 4), "07:00:00Z", "09:59:59Z", 1), true, time.Second)
		}},
		{"old-list", 100, 24, func(v *topView) {
			v.poll(t, statsText(3, 1, 800), true, 0)
			v.poll(t, statsText(1, 1, 803), false, 4*time.Second)
		}},
		{"nothing-yet", 100, 24, func(v *topView) {
			text := strings.Replace(statsText(0, 1, 0), `"2027-01-31T09:59:00Z","lastFailureReason":"slow consumer"`, `null,"lastFailureReason":null`, 1)
			v.poll(t, text, true, 0)
		}},
		{"not-ready", 100, 24, func(v *topView) {
			v.poll(t, statsText(1, 1, 800), true, 0)
			v.notReady = "unavailable: the event log cannot be read"
		}},
		{"unreachable", 100, 24, func(v *topView) {
			v.poll(t, statsText(1, 1, 800), true, 0)
			v.failure, v.now = "no node responds\x1b[2J", topStart.Add(7*time.Second)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v topView
			c.make(&v)
			got := strings.Join(v.lines(c.width, c.height), "\n") + "\n"
			path := filepath.Join("testdata", "top", c.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("not as in %s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// A fakeNode serves stats.
func fakeNode(t *testing.T, handler http.HandlerFunc) {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	t.Setenv("GATECAST_INTERNAL_URL", s.URL)
	t.Setenv("GATECAST_ADMIN_TOKEN_FILE", writeFile(t, "admin.token", strings.Repeat("x", 43)+"\n"))
}

func TestTopOnce(t *testing.T) {
	newOperator(t)
	for _, args := range [][]string{{"top"}, {"top", "--once"}} {
		code, out, errs := gatecast("", args...)
		if code != 0 || errs != "" || !strings.Contains(out, "0 connections of 0 gateways") || !strings.Contains(out, "\nReady\n") || strings.Contains(out, "\x1b") {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
}

func TestTopUsage(t *testing.T) {
	if code, _, errs := gatecast("", "top", "--interval", "1ms"); code != exitUsage || !strings.Contains(errs, "--interval") {
		t.Errorf("exit %d: %s", code, errs)
	}
	fakeNode(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":"forbidden","message":"this needs the scope read"}`)
	})
	if code, out, errs := gatecast("", "top"); code != exitFailed || out != "" || errs != "gatecast: forbidden: this needs the scope read\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// On a node with many connections, only some polls list all of them.
func TestTopSparesTheNode(t *testing.T) {
	var asked []string
	fakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" {
			asked = append(asked, r.URL.RawQuery)
			fmt.Fprint(w, statsText(manyConnections+1, 1, 0))
			return
		}
		fmt.Fprint(w, `{}`)
	})
	c := topCmd{adminFlags: adminFlags{InternalURL: os.Getenv("GATECAST_INTERNAL_URL"), AdminTokenFile: os.Getenv("GATECAST_ADMIN_TOKEN_FILE")}}
	v := &top{flags: c.adminFlags}
	for range fullEvery + 2 {
		if err := v.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{""}
	for range fullEvery - 1 {
		want = append(want, "limit=1")
	}
	want = append(want, "", "limit=1")
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// openTerminal returns a terminal, and the end that a person would sit at.
func openTerminal(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return person, terminal
}

// readUntil reads until a text has come, and returns all up to there.
func readUntil(t *testing.T, f *os.File, text string) string {
	t.Helper()
	var got []byte
	b := make([]byte, 4096)
	for !strings.Contains(string(got), text) {
		n, err := f.Read(b)
		if err != nil {
			t.Fatalf("%v, after %q", err, got)
		}
		got = append(got, b[:n]...)
	}
	return string(got)
}

func TestTopOnATerminal(t *testing.T) {
	for name, key := range map[string]string{"q": "q", "Ctrl-C": "\x03"} {
		t.Run(name, func(t *testing.T) {
			newOperator(t)
			person, terminal := openTerminal(t)
			before, err := term.GetState(int(terminal.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			code := make(chan int, 1)
			go func() {
				code <- run(context.Background(), []string{"top", "--interval", "100ms"}, world{terminal, terminal, os.Stderr})
			}()
			if got := readUntil(t, person, "0 connections"); !strings.Contains(got, enterScreen) {
				t.Errorf("begins with %q", got)
			}
			readUntil(t, person, "DELIVERED/s") // of a frame, however many there were
			if _, err := person.WriteString("x" + key); err != nil {
				t.Fatal(err)
			}
			readUntil(t, person, leaveScreen)
			if c := <-code; c != exitOK {
				t.Errorf("exit %d", c)
			}
			after, err := term.GetState(int(terminal.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			if *before != *after {
				t.Errorf("the terminal is left in another state: %+v, was %+v", after, before)
			}
		})
	}
}

// An unreachable node is reported, and the last figures stay.
func TestTopGoesOn(t *testing.T) {
	gone := make(chan struct{})
	fakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gone:
			w.WriteHeader(http.StatusBadGateway)
		default:
			fmt.Fprint(w, statsText(1, 1, 0))
		}
	})
	person, terminal := openTerminal(t)
	code := make(chan int, 1)
	go func() {
		code <- run(context.Background(), []string{"top", "--interval", "100ms"}, world{terminal, terminal, os.Stderr})
	}()
	readUntil(t, person, "edge-0")
	close(gone)
	readUntil(t, person, "UNREACHABLE")
	readUntil(t, person, "edge-0")
	if _, err := person.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	readUntil(t, person, leaveScreen)
	if c := <-code; c != exitOK {
		t.Errorf("exit %d", c)
	}
}

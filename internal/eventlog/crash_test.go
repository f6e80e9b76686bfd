// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
)

// crashDirEnv makes the test binary the process that is killed. It appends to the log in the
// folder named by the variable, and prints the id of every acknowledged event.
const crashDirEnv = "GATECAST_TEST_CRASH_DIR"

func appendUntilKilled(dir string) {
	l, err := openLog(context.Background(), config{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	acked := make(chan *Pending, 256)
	go func() {
		for i := 0; ; i++ {
			ev, body := newEvent(i)
			p, err := l.AppendAsync(ev, body)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			acked <- p
		}
	}()
	for p := range acked {
		c, err := p.Wait(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(c)
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel() // mostly waits
	dir := filepath.Join(t.TempDir(), "log")
	var last event.Cursor
	for range 2 { // the second begins from what the first left
		last = killAppender(t, dir, last, 2000)
	}
	l := open(t, config{Dir: dir})
	if _, ok := l.Resolve(last); !ok {
		t.Fatalf("last %v after a kill, but %v was acknowledged", l.Last(), last)
	}
	markers := 0
	for i, e := range read(t, l, event.Cursor{}, int(last.Seq)) {
		if e.Body == nil {
			markers++
		} else if e.Cursor.Seq != uint64(i)+1 || !strings.Contains(string(e.Body), `"type":"test.n`) {
			t.Fatalf("event %d is %v %s", i, e.Cursor, e.Body)
		}
	}
	if markers != 1 {
		t.Errorf("%d epochs began after the first", markers)
	}
	if c := add(t, l, 0); c.Seq <= last.Seq {
		t.Errorf("the id %v is handed out again", c)
	}
}

// killAppender runs an appending process, kills it when n events are acknowledged, and returns
// the newest of them.
func killAppender(t *testing.T, dir string, after event.Cursor, n int) event.Cursor {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	last := after
	for i := 0; lines.Scan(); i++ {
		c, err := event.ParseCursor(lines.Text())
		if err != nil {
			break // the line that the kill cut
		}
		if i == 0 && c.Epoch == last.Epoch || i > 0 && c.Epoch != last.Epoch || c.Seq <= last.Seq {
			t.Errorf("%v was acknowledged after %v", c, last)
		}
		last = c
		if i == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // says that it was killed
	if last.Seq < after.Seq+uint64(n) {
		t.Fatalf("the process ended by itself at %v: %s", last, complaint.String())
	}
	return last
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// panicVariable makes the test binary the process whose loop panics.
const panicVariable = "GATECAST_TEST_PANIC"

// panicIn starts a loop that panics in its turn or in its tick, and waits.
func panicIn(where string) {
	every := 10 * time.Millisecond
	if where == "turn" {
		every = time.Hour
	}
	loop, err := Start(Config{
		Turn: func(time.Time) bool {
			if where == "turn" {
				panic("BUG: in the turn")
			}
			return false
		},
		Tick:      func(time.Time) { panic("BUG: in the tick") },
		TickEvery: every,
	})
	if err != nil {
		os.Exit(3)
	}
	if where == "turn" {
		loop.Ring()
	}
	select {}
}

// A panic on a loop ends the process with a stack, so that a supervisor restarts it.
// Nothing recovers and serves on with half a state.
func TestPanicEndsProcess(t *testing.T) {
	for _, where := range []string{"turn", "tick"} {
		t.Run(where, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), panicVariable+"="+where)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 2 {
				t.Errorf("it ended with %v, want Go's exit code 2", err)
			}
			for _, want := range []string{"panic: BUG: in the " + where, "goroutine ", "poller.(*Loop)"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in what it says:\n%s", want, out)
				}
			}
		})
	}
}

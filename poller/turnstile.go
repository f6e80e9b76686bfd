// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A turnstile lets so many handshakes compute at once. Each needs the better part
// of a millisecond of a processor, and in a connect storm hundreds are ready for
// theirs; without it they would all stand in the scheduler's queue ahead of a
// loop that has an event to deliver. A nil turnstile lets everybody through.
type turnstile chan *lap

func newTurnstile(places int) turnstile {
	t := make(turnstile, places)
	for range places {
		t <- newLap()
	}
	return t
}

// enter waits for a place, and then behind whatever else is ready.
func (t turnstile) enter() *lap {
	if t == nil {
		return nil
	}
	l := <-t
	l.run()
	return l
}

// leave gives the place back.
func (t turnstile) leave(l *lap) {
	if t != nil {
		t <- l
	}
}

// A lap is a way once around the runtime's network poller. Go's scheduler looks at
// the network when it has nothing else to run, or else every ten milliseconds: with
// a handshake always ready, that is how long a publisher's request would wait to be
// seen. Who waits for an eventfd that he has written himself comes back behind
// everything that the network had ready before.
type lap struct {
	raw syscall.RawConn // of the eventfd; nil where there is none, and nobody waits
}

func newLap() *lap {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return new(lap)
	}
	// It is non-blocking, so the runtime polls it; its finalizer closes it.
	raw, err := os.NewFile(uintptr(fd), "lap").SyscallConn()
	if err != nil {
		return new(lap)
	}
	return &lap{raw}
}

// run goes around.
func (l *lap) run() {
	runtime.Gosched()
	if l.raw == nil {
		return
	}
	begun := false
	_ = l.raw.Read(func(fd uintptr) (done bool) {
		var count [8]byte
		if begun {
			_, _ = unix.Read(int(fd), count[:])
			return true
		}
		// Here, and not before: what is reported from now on is waited for.
		begun = true
		count[0] = 1
		_, err := unix.Write(int(fd), count[:])
		return err != nil
	})
}

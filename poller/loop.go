// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Config says what a loop calls. Every field must be set.
type Config struct {
	// Turn does the work at hand. It runs at least once after a call of
	// [Loop.Ring], after the events that epoll returned with it or before them.
	// When it returns true it runs again, after the descriptors had their say.
	Turn func(now time.Time) (again bool)
	// Tick runs about every TickEvery.
	Tick      func(now time.Time)
	TickEvery time.Duration
}

// Sizes of a loop's scratch buffers, in bytes. A read buffer of more than a TLS
// record lets a busy connection be read in few calls; sealBytes is four full
// records.
const (
	readBytes = 64 << 10
	sealBytes = 64 << 10
)

// A Loop is one epoll instance and its goroutine.
type Loop struct {
	// Constant after Start.
	cfg   Config
	epoll *netpoll.Epoll
	wake  int // eventfd
	timer int // timerfd

	// rung is set by whoever rings first, and cleared by the loop before its
	// turn looks for work. awake is set by the loop while it will look at rung
	// again before it sleeps: a ring is written to the eventfd only when it
	// might not.
	rung  atomic.Bool
	awake atomic.Bool
	// wakers counts the goroutines that are writing to wake. It is below zero once
	// Close has begun, which closes wake only after the last of them.
	wakers atomic.Int64

	// Owned by the loop. Scratch buffers: no call keeps them.
	readBuf   []byte       // what a stream's Read returns
	plainBuf  []byte       // plaintext gathered for sealing
	cipherBuf []byte       // records sealed and not yet written
	chunk     chunker      // of what is being sealed
	iov       []unix.Iovec // for writev
	budget    int          // bytes that the event at hand may still read
	taken     int          // what Taken returns
}

// Start makes a loop and starts its goroutine.
func Start(cfg Config) (_ *Loop, err error) {
	l := &Loop{cfg: cfg, wake: -1, timer: -1, readBuf: make([]byte, readBytes)}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if l.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if l.timer, err = newTimer(cfg.TickEvery); err != nil {
		return nil, err
	}
	if l.epoll, err = netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: waitFailed}); err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	// Edge-triggered, the one descriptor that is: every write is an edge, so the
	// counter never needs reading, which saves a system call a turn.
	if err := l.epoll.Add(l.wake, netpoll.EPOLLIN|netpoll.EPOLLET, l.onWake); err != nil {
		return nil, fmt.Errorf("epoll_ctl eventfd: %w", err)
	}
	if err := l.epoll.Add(l.timer, netpoll.EPOLLIN, l.onTimer); err != nil {
		return nil, fmt.Errorf("epoll_ctl timerfd: %w", err)
	}
	return l, nil
}

func newTimer(every time.Duration) (fd int, err error) {
	fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("timerfd: %w", err)
	}
	period := unix.NsecToTimespec(int64(every))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: period, Value: period}, nil); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("timerfd: set to %v: %w", every, err)
	}
	return fd, nil
}

// waitFailed ends the process: without epoll_wait no connection can be served,
// and a supervisor's restart is better than a node that looks alive.
func waitFailed(err error) { panic("BUG: epoll_wait: " + err.Error()) }

// Ring makes a turn happen. It never blocks, and costs nothing while a ring is
// pending. Any goroutine may call it at any time; after Close it does nothing.
func (l *Loop) Ring() {
	if l.rung.Load() || l.rung.Swap(true) || l.awake.Load() {
		return
	}
	l.wakeUp()
}

// closedWakers is added to wakers by Close: far more than goroutines there are.
const closedWakers = math.MinInt64 / 2

// wakeUp makes epoll_wait return, unless the loop is being closed: then wake may be
// another file's number already.
func (l *Loop) wakeUp() {
	defer l.wakers.Add(-1)
	if l.wakers.Add(1) < 0 {
		return
	}
	one := [8]byte{1}
	if _, err := unix.Write(l.wake, one[:]); err != nil {
		panic("BUG: ring: " + err.Error()) // the counter cannot fill: rings are at most one a turn
	}
}

// maxTurns bounds the turns ahead of the descriptors' next say.
const maxTurns = 16

// onWake runs turns for as long as goroutines that are ready to run ring while
// the loop lets them go first. Going to sleep between any two of them is dear:
// epoll_wait keeps the loop's processor from the others until Go's monitor takes
// it away, and each ring is a system call and a switch of threads.
func (l *Loop) onWake(ev netpoll.EpollEvent) {
	if ev&netpoll.EPOLLIN == 0 { // the epoll instance is being closed
		return
	}
	l.awake.Store(true)
	again := false
	for range maxTurns {
		l.rung.Store(false)
		again = l.cfg.Turn(time.Now())
		runtime.Gosched()
		if again || !l.rung.Load() {
			break
		}
	}
	// Whoever rings from here on sees that the loop may sleep; whoever rang
	// before has set rung, which is read after that.
	l.awake.Store(false)
	if l.rung.Load() || again {
		l.rung.Store(true)
		l.wakeUp()
	}
}

func (l *Loop) onTimer(ev netpoll.EpollEvent) {
	if ev&netpoll.EPOLLIN == 0 {
		return
	}
	var expirations [8]byte
	_, _ = unix.Read(l.timer, expirations[:]) // to re-arm; how many were missed does not matter
	l.cfg.Tick(time.Now())
}

// Close stops the loop and waits for its goroutine. Its streams must have been
// closed. Any goroutine but the loop's own may call it, once.
func (l *Loop) Close() {
	if l.epoll != nil {
		_ = l.epoll.Close()
	}
	l.wakers.Add(closedWakers)
	for l.wakers.Load() != closedWakers { // each writes eight bytes, which never waits
		runtime.Gosched()
	}
	for _, fd := range []int{l.wake, l.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

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

// Sizes of a loop's scratch buffers, in bytes. A read buffer larger than a TLS
// record reads a busy connection in few calls. sealBytes is four full records.
const (
	readBytes = 64 << 10
	sealBytes = 64 << 10
)

// maxTurns limits the turns before the loop services its descriptors again.
const maxTurns = 16

// A Loop is one epoll instance and its goroutine. [Loop.Ring] and [Loop.Close] are
// for other goroutines, [Loop.Open] is for the loop's own.
type Loop struct {
	// Constant after Start.
	cfg   Config
	epoll *netpoll.Epoll
	wake  int // eventfd
	timer int // timerfd

	// Written by any goroutine. The first Ring sets rung; the loop clears it before
	// its turn looks for work. The loop sets awake while it will look at rung again
	// before it sleeps: only when awake is false does a Ring write to the eventfd.
	rung  atomic.Bool
	awake atomic.Bool
	// wakers counts the goroutines that are writing to wake. It is negative once
	// Close has begun, which closes wake after the last of them.
	wakers atomic.Int64

	// Owned by the loop. Scratch buffers: no call keeps them.
	readBuf   []byte       // what a stream's Read returns
	plainBuf  []byte       // plaintext gathered for sealing
	cipherBuf []byte       // records sealed and not yet written
	chunk     chunker      // of what is being sealed
	iov       []unix.Iovec // for writev
	budget    int          // bytes that the current event can still read
	readCost  int          // what ReadCost returns
}

// Start makes a loop and starts its goroutine. The caller closes it.
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
	// The only edge-triggered descriptor: every write is an edge, so the counter
	// is never read, which saves a system call per turn.
	if err := l.epoll.Add(l.wake, netpoll.EPOLLIN|netpoll.EPOLLET, l.onWake); err != nil {
		return nil, fmt.Errorf("epoll_ctl eventfd: %w", err)
	}
	if err := l.epoll.Add(l.timer, netpoll.EPOLLIN, l.onTimer); err != nil {
		return nil, fmt.Errorf("epoll_ctl timerfd: %w", err)
	}
	return l, nil
}

// newTimer returns a timerfd that expires at an interval.
func newTimer(every time.Duration) (fd int, err error) {
	fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("timerfd: %w", err)
	}
	period := unix.NsecToTimespec(int64(every))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: period, Value: period}, nil); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("timerfd: set to %v: %w", every, err)
	}
	return fd, nil
}

// waitFailed ends the process: without epoll_wait no connection can be served, and
// a supervisor's restart is better than a node that looks alive.
func waitFailed(err error) { panic("BUG: epoll_wait: " + err.Error()) }

// Ring makes a turn happen. It never blocks, and costs nothing while a ring is
// pending. Any goroutine may call it at any time; after Close it does nothing.
func (l *Loop) Ring() {
	if l.rung.Load() || l.rung.Swap(true) || l.awake.Load() {
		return
	}
	l.wakeUp()
}

// closedWakers is added to wakers by Close. No process has so many goroutines.
const closedWakers = math.MinInt64 / 2

// wakeUp makes epoll_wait return. It does nothing once Close has begun: the number
// in wake can be another file's by then.
func (l *Loop) wakeUp() {
	defer l.wakers.Add(-1)
	if l.wakers.Add(1) < 0 {
		return
	}
	one := [8]byte{1}
	if _, err := unix.Write(l.wake, one[:]); err != nil {
		panic("BUG: ring: " + err.Error()) // the counter cannot fill: there is at most one ring per turn
	}
}

// onWake runs turns while other goroutines keep ringing. Between two turns it lets
// the goroutines run that are ready. To sleep between two rings would be expensive:
// epoll_wait keeps the loop's processor until Go's monitor takes it away, and each
// ring costs a system call and a switch of threads.
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
	// A goroutine that rings from here on sees that the loop can sleep. One that
	// rang before has set rung, which is read after this store.
	l.awake.Store(false)
	if l.rung.Load() || again {
		l.rung.Store(true)
		l.wakeUp()
	}
}

// onTimer runs a tick.
func (l *Loop) onTimer(ev netpoll.EpollEvent) {
	if ev&netpoll.EPOLLIN == 0 {
		return
	}
	var expirations [8]byte
	_, _ = unix.Read(l.timer, expirations[:]) // re-arms the timer; how many ticks were missed does not matter
	l.cfg.Tick(time.Now())
}

// Close stops the loop and waits for its goroutine. The streams must be closed
// before. Any goroutine but the loop's own may call it, once.
func (l *Loop) Close() {
	if l.epoll != nil {
		_ = l.epoll.Close()
	}
	l.wakers.Add(closedWakers)
	for l.wakers.Load() != closedWakers { // each waker writes eight bytes, which never blocks
		runtime.Gosched()
	}
	for _, fd := range []int{l.wake, l.timer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

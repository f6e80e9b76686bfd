// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package poller runs non-blocking connections on one goroutine.
//
// A [Loop] is one epoll instance and the goroutine that waits on it. An [Inbox]
// passes work to that goroutine without a lock. A [Stream] is one non-blocking
// connection of a loop, plain or TLS; while nothing moves it holds no buffer and
// no goroutine. A [Conn] is a connection before it has a loop: it blocks, and it
// does the TLS handshake. A turn is one iteration of a loop's work.
//
// The rules:
//
//   - Everything that a loop calls (turn, tick, a stream's [Sink]) runs on the
//     loop's goroutine, one call at a time, and must not block.
//   - A stream is used on its loop's goroutine only.
//   - Epoll is level-triggered. A stream is always armed for reading; it is armed
//     for writing only while its socket refuses bytes.
//   - An error of a connection is returned to its owner. An error of the loop
//     itself is a panic: without epoll the process can serve nobody.
//
// The package knows bytes and TLS. It does not know WebSocket.
//
// # Platforms
//
// Loops need epoll, so they run on Linux only. On other systems [Start] and
// [Conn.Detach] return an error that wraps [errors.ErrUnsupported]. Everything
// else compiles there, and so do the packages above this one: the command line
// tools of gatecast run on every system, and one go vet covers the whole tree.
// A second implementation, on kqueue or IOCP, would have to be tested and
// measured like the first, and nobody runs a gateway notifier there.
package poller

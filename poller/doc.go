// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package poller turns descriptors into events on one goroutine.
//
// A [Loop] is one epoll instance and the goroutine that waits on it. An [Inbox]
// carries work to it from other goroutines without a lock. A [Stream] is one
// non-blocking connection of a loop, plain or TLS; it holds no buffer and no
// goroutine while nothing moves.
//
// The rules:
//
//   - Everything a loop calls (turn, tick, a stream's [Sink]) runs on the loop's
//     goroutine, one at a time, and must not block.
//   - A stream is used on its loop's goroutine only.
//   - Connections are level-triggered and always armed for reading; a stream arms
//     itself for writing only while its socket refuses bytes.
//   - A connection's error is returned to its owner. An error of the loop itself
//     means the process can serve nobody: the loop panics.
//
// The package knows bytes and TLS, and nothing of WebSocket.
package poller

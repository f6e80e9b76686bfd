// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package poller

import "runtime"

// A netpollYielder lets runnable goroutines run. No node serves on this system, so
// the plain form is enough.
type netpollYielder struct{}

func newNetpollYielder() *netpollYielder { return new(netpollYielder) }

func (y *netpollYielder) yield() { runtime.Gosched() }

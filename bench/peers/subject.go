// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/gatecast/gatecast/bench"
	"github.com/gatecast/gatecast/bench/peers/hub"
	"github.com/gatecast/gatecast/bench/peers/library"
)

// A subject is what is measured.
type subject struct {
	name string
	// takes reports whether a workload and transport apply to it.
	takes func(workload, transport string) bool
	// measure runs its own workload instead of bench's; nil: bench's.
	measure func(ctx context.Context, r *runner, plaintext bool) (bench.Result, error)
}

func (s subject) String() string { return s.name }

// Names of subjects that are not a library.
const (
	baseline  = "gatecast"
	floor     = "floor"
	handshake = "handshake"
	jetStream = "jetstream"
)

func always(string, string) bool { return true }

// subjects are in the order of measurements and output.
var subjects = []subject{
	{name: baseline, takes: always},
	{name: "gorilla", takes: always},
	{name: "coder", takes: always},
	{name: "gws", takes: always},
	{name: "nbio", takes: always},
	{name: "gobwas", takes: always},
	{name: "centrifuge", takes: always},
	{name: floor, takes: func(_, transport string) bool { return transport == "ws" }},
	{name: handshake, measure: measureHandshakes, takes: func(work, transport string) bool {
		return work == "storm" && transport == "wss"
	}},
	{name: jetStream, measure: measureJetStream, takes: func(work, _ string) bool { return work == "publish" }},
}

// libraries are the subjects that can serve.
var libraries = map[string]func() hub.Library{
	"gorilla":    func() hub.Library { return new(library.Gorilla) },
	"coder":      func() hub.Library { return new(library.Coder) },
	"gws":        func() hub.Library { return new(library.GWS) },
	"nbio":       func() hub.Library { return new(library.NBIO) },
	"gobwas":     func() hub.Library { return new(library.Gobwas) },
	"centrifuge": func() hub.Library { return new(library.Centrifuge) },
	floor:        func() hub.Library { return new(library.Floor) },
	handshake:    func() hub.Library { return new(library.Handshake) },
}

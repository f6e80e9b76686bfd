// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gatecast/gatecast/internal/event"
)

// An announcement reports the gateways that are connected to a node: a change, or a
// part of the full set.
type announcement struct {
	Node string `json:"node"`
	Run  uint64 `json:"run"`            // random number of this start of the node
	Seq  uint64 `json:"n"`              // number of the announcement within the run, from 1
	Full bool   `json:"full,omitempty"` // first part of the full set
	More bool   `json:"more,omitempty"` // another part of the full set follows
	// Leave is set in the last announcement of a run: the node stops.
	Leave        bool     `json:"bye,omitempty"`
	Connected    []string `json:"on,omitempty"`  // gateways that have a connection now
	Disconnected []string `json:"off,omitempty"` // gateways whose last connection ended
}

// maxGateways bounds the gateways that an announcement lists as connected, and as
// disconnected.
const maxGateways = 5000

// Bounds of the JSON of an announcement: without gateways, and per gateway.
const (
	envelopeBytes = 512
	gatewayBytes  = event.MaxNameLen + len(`"",`)
)

// gatewaysPerMessage returns how many gateways fit into a message of so many bytes.
func gatewaysPerMessage(bytes int) int {
	return max(1, min(maxGateways, (bytes-envelopeBytes)/gatewayBytes))
}

// parseAnnouncement reads an announcement and checks everything that a node guarantees.
// Code that uses the result checks nothing again.
func parseAnnouncement(subject string, data []byte) (a announcement, err error) {
	if err := json.Unmarshal(data, &a); err != nil {
		return announcement{}, err
	}
	switch {
	case !event.ValidName(a.Node) || subject != announceSubject+a.Node:
		return announcement{}, fmt.Errorf("it names node %q", a.Node)
	case a.Run == 0 || a.Seq == 0:
		return announcement{}, errors.New("it has no run or no number")
	case len(a.Connected) > maxGateways || len(a.Disconnected) > maxGateways:
		return announcement{}, errors.New("it names too many gateways")
	}
	for _, ids := range [][]string{a.Connected, a.Disconnected} {
		for _, id := range ids {
			if !event.ValidName(id) {
				return announcement{}, fmt.Errorf("it names gateway %q", id)
			}
		}
	}
	return a, nil
}

// An announcer makes this node's announcements. One goroutine owns it: [Peers.run].
type announcer struct {
	// Constant.
	node        string
	run         uint64
	maxGateways int // in one announcement
	eachLocal   func(f func(gatewayID string))
	send        func(announcement) // a lost one is found by its number

	seq       uint64              // of the last announcement
	announced map[string]struct{} // gateways that the other nodes know as connected here
	spare     map[string]struct{} // the map for the next announced, to be reused
}

func newAnnouncer(node string, run uint64, maxGateways int, eachLocal func(f func(gatewayID string)), send func(announcement)) *announcer {
	return &announcer{
		node: node, run: run, maxGateways: maxGateways, eachLocal: eachLocal, send: send,
		announced: make(map[string]struct{}), spare: make(map[string]struct{}),
	}
}

func (a *announcer) announce(msg announcement) {
	a.seq++
	msg.Node, msg.Run, msg.Seq = a.node, a.run, a.seq
	a.send(msg)
}

// announceAll announces the full set, in as many parts as it takes.
func (a *announcer) announceAll() {
	clear(a.announced)
	a.eachLocal(func(id string) { a.announced[id] = struct{}{} })
	left := slices.Collect(maps.Keys(a.announced))
	for first := true; first || len(left) > 0; first = false {
		n := min(len(left), a.maxGateways)
		a.announce(announcement{Full: first, Connected: left[:n], More: n < len(left)})
		left = left[n:]
	}
}

// announceChanges announces what changed since the last announcement. It reports
// whether anything did. Changes that do not fit into one message are announced as the
// full set.
func (a *announcer) announceChanges() (changed bool) {
	var msg announcement
	now := a.spare
	clear(now)
	a.eachLocal(func(id string) {
		now[id] = struct{}{}
		if _, known := a.announced[id]; !known {
			msg.Connected = append(msg.Connected, id)
		}
	})
	for id := range a.announced {
		if _, connected := now[id]; !connected {
			msg.Disconnected = append(msg.Disconnected, id)
		}
	}
	changes := len(msg.Connected) + len(msg.Disconnected)
	if changes > a.maxGateways {
		a.announceAll()
		return true
	}
	a.announced, a.spare = now, a.announced
	if changes > 0 {
		a.announce(msg)
	}
	return changes > 0
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"sync"

	"gatecast/internal/strict"
)

// maxDeployments bounds how many deployments are known. A deployment.ack for an
// older one still reaches the platform; it only does not count as an answer to
// its event.
const maxDeployments = 100_000

// deployments knows which event is of which deployment, for gateways answer with
// that. It may be shared.
type deployments struct {
	mu     sync.Mutex
	events map[string]uint64 // sequence of the newest event of each
	ring   []string          // the newest ids, for the oldest to be forgotten
	next   int
}

func newDeployments() *deployments { return &deployments{events: make(map[string]uint64)} }

var deploymentField = []byte(`"deploymentId"`)

// note notes the deployment that an event's payload names, if it names one.
func (d *deployments) note(seq uint64, body []byte) {
	if !bytes.Contains(body, deploymentField) {
		return
	}
	id := deploymentOf(body)
	if id == "" {
		return // it stands somewhere else in it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.events[id]
	d.events[id] = seq
	switch {
	case known:
	case len(d.ring) < maxDeployments:
		d.ring = append(d.ring, id)
	default:
		delete(d.events, d.ring[d.next])
		d.ring[d.next] = id
		d.next = (d.next + 1) % maxDeployments
	}
}

// rewind forgets events after a sequence, which are no more.
func (d *deployments) rewind(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, at := range d.events {
		if at > seq {
			d.events[id] = 0 // as if it had none: its place in the ring stays
		}
	}
}

// deploymentOf returns the deployment that an event's payload names. A payload may have
// names twice; then it names none, for its gateway may have read the other.
func deploymentOf(body []byte) (id string) {
	o := strict.Read(body)
	for o.Next() {
		if string(o.Name()) != "payload" {
			continue
		}
		payload := strict.Read(o.Raw())
		for payload.Next() {
			if string(payload.Name()) == "deploymentId" && payload.IsString() {
				id = payload.String()
			}
		}
		if payload.Err() != nil {
			return ""
		}
	}
	return id
}

// find returns the sequence of a deployment's event, or 0.
func (d *deployments) find(id string) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events[id]
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/strict"
)

const (
	// maxDeployments bounds the deployments that are known. A deployment.ack of an older
	// one still reaches the platform; it does not count as an acknowledgement of an event.
	maxDeployments = 100_000
	// maxDeploymentEvents bounds the events that are known of one deployment: deploy,
	// undeploy and so on. The newest are kept.
	maxDeploymentEvents = 16
)

// deployments are the events of each deployment. Gateways name the deployment, not the
// event, in a deployment.ack. Any goroutine can use it.
type deployments struct {
	mu     sync.Mutex
	events map[string][]deploymentEvent // by deployment id, in log order
	ring   []string                     // the known ids; the oldest is at next once the ring is full
	next   int
}

// A deploymentEvent is an event whose payload names a deployment.
type deploymentEvent struct {
	id          event.Cursor
	target      event.Target
	published   time.Time
	performedAt string // in the payload, see normalTime; empty for none
}

func newDeployments() *deployments { return &deployments{events: make(map[string][]deploymentEvent)} }

var deploymentField = []byte(`"deploymentId"`)

// note adds an event to the deployment that its payload names, if it names one.
func (d *deployments) note(e *eventlog.Entry) {
	if !bytes.Contains(e.Body, deploymentField) {
		return
	}
	id, performedAt := readDeployment(e.Body)
	if id == "" {
		return // the field is elsewhere in the event
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.events[id]
	if len(list) == maxDeploymentEvents {
		list = append(list[:0], list[1:]...)
	}
	d.events[id] = append(list, deploymentEvent{e.Cursor, e.Target, e.Published, normalTime(performedAt)})
	switch {
	case len(list) > 0:
	case len(d.ring) < maxDeployments:
		d.ring = append(d.ring, id)
	default:
		delete(d.events, d.ring[d.next])
		d.ring[d.next] = id
		d.next = (d.next + 1) % maxDeployments
	}
}

// rewind forgets events after seq, which no longer exist.
func (d *deployments) rewind(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, list := range d.events {
		// A deployment without events keeps its entry in the ring.
		d.events[id] = slices.DeleteFunc(list, func(e deploymentEvent) bool { return e.id.Seq > seq })
	}
}

// readDeployment returns deploymentId and performedAt of an event's payload. A payload
// with a duplicate name is ignored: the gateway may have read the other value.
func readDeployment(body []byte) (id, performedAt string) {
	o := strict.Read(body)
	for o.Next() {
		if string(o.Name()) != "payload" {
			continue
		}
		payload := strict.Read(o.Raw())
		for payload.Next() {
			switch name := string(payload.Name()); {
			case !payload.IsString():
			case name == "deploymentId":
				id = payload.String()
			case name == "performedAt":
				performedAt = payload.Text()
			}
		}
		if payload.Err() != nil {
			return "", ""
		}
	}
	return id, performedAt
}

// normalTime returns the normal form of a time: a gateway can write the event's time
// differently. A text that is no time is returned as it is.
func normalTime(text string) string {
	t, err := strict.Time(text)
	if err != nil {
		return text
	}
	return t.Format(event.TimeFormat)
}

// find returns the event that a deployment.ack acknowledges. Of the deployment's events
// that match accepts, it is the newest with the same performedAt, else the newest.
func (d *deployments) find(id, performedAt string, match func(*deploymentEvent) bool) (event.Cursor, bool) {
	performedAt = normalTime(performedAt)
	d.mu.Lock()
	list := slices.Clone(d.events[id])
	d.mu.Unlock()
	slices.Reverse(list)
	if performedAt != "" {
		for i := range list {
			if list[i].performedAt == performedAt && match(&list[i]) {
				return list[i].id, true
			}
		}
	}
	for i := range list {
		if match(&list[i]) {
			return list[i].id, true
		}
	}
	return event.Cursor{}, false
}

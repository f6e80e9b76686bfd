// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

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
	// maxDeployments bounds how many deployments are known. A deployment.ack for an
	// older one still reaches the platform; it only does not count as an answer to
	// its event.
	maxDeployments = 100_000
	// maxDeploymentEvents bounds the events known of one deployment: deploying it,
	// undeploying it, and so on. The newest stay.
	maxDeploymentEvents = 16
)

// deployments knows which events are of which deployment, because gateways name the
// deployment in their answers. It may be shared.
type deployments struct {
	mu     sync.Mutex
	events map[string][]deploymentEvent // by deployment id, in the order of the log
	ring   []string                     // the newest ids, for the oldest to be forgotten
	next   int
}

// A deploymentEvent is an event whose payload names a deployment.
type deploymentEvent struct {
	cursor      event.Cursor
	target      event.Target
	published   time.Time
	performedAt string // the payload's, see instant; empty for none
}

func newDeployments() *deployments { return &deployments{events: make(map[string][]deploymentEvent)} }

var deploymentField = []byte(`"deploymentId"`)

// note notes the deployment that an event's payload names, if it names one. It is
// called before the event is dispatched: gateways answer within the same millisecond.
func (d *deployments) note(e *eventlog.Entry) {
	if !bytes.Contains(e.Body, deploymentField) {
		return
	}
	id, performedAt := readDeployment(e.Body)
	if id == "" {
		return // it stands somewhere else in the event
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.events[id]
	if len(list) == maxDeploymentEvents {
		list = append(list[:0], list[1:]...)
	}
	d.events[id] = append(list, deploymentEvent{e.Cursor, e.Target, e.Published, instant(performedAt)})
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

// rewind forgets events after a sequence, which are no more.
func (d *deployments) rewind(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, list := range d.events {
		// Without events its place in the ring stays.
		d.events[id] = slices.DeleteFunc(list, func(e deploymentEvent) bool { return e.cursor.Seq > seq })
	}
}

// readDeployment returns the deploymentId and the performedAt of an event's payload. A
// payload that has a name twice names no deployment: its gateway may have read the other.
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

// instant returns a text that is the same for every way to write a time: a gateway may not
// repeat the event's letter by letter. Of what is no time it is the text itself.
func instant(text string) string {
	t, err := strict.Time(text)
	if err != nil {
		return text
	}
	return t.Format(event.TimeFormat)
}

// find returns the event that a deployment.ack answers: of those that name the
// deployment and that wanted accepts, the newest with the same performedAt, else the
// newest.
func (d *deployments) find(id, performedAt string, wanted func(*deploymentEvent) bool) (event.Cursor, bool) {
	performedAt = instant(performedAt)
	d.mu.Lock()
	list := slices.Clone(d.events[id])
	d.mu.Unlock()
	slices.Reverse(list)
	if performedAt != "" {
		for i := range list {
			if list[i].performedAt == performedAt && wanted(&list[i]) {
				return list[i].cursor, true
			}
		}
	}
	for i := range list {
		if wanted(&list[i]) {
			return list[i].cursor, true
		}
	}
	return event.Cursor{}, false
}

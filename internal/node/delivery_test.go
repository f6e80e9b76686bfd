// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/shard"
	"github.com/gatecast/gatecast/stats/metrics"
	"github.com/gatecast/gatecast/test/testenv/natsenv"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// deploymentAck returns a deployment.ack.
func deploymentAck(id, status, performedAt string) string {
	if performedAt != "" {
		performedAt = fmt.Sprintf(`,"performedAt":%q`, performedAt)
	}
	return fmt.Sprintf(`{"type":"deployment.ack","payload":{"deploymentId":%q,"status":%q%s}}`, id, status, performedAt)
}

// messages returns what is in the journal of gateways' messages.
func (s *system) messages() (list []struct{ Type, GatewayID, EventID string }) {
	s.t.Helper()
	var answer struct {
		Messages []struct{ Type, GatewayID, EventID string }
	}
	if status := s.call("GET", root+"/messages?limit=1000", "", &answer); status != 200 {
		s.t.Fatalf("GET /messages: %d", status)
	}
	return answer.Messages
}

// A gateway may answer before the node has done anything more with the event than
// send it.
func TestDeploymentAckAtOnce(t *testing.T) {
	t.Parallel() // mostly waits
	cfg := config(t)
	cfg.Plaintext = true
	s := start(t, cfg)
	token, _ := s.gateway("g")
	c := s.connect(token)
	large := strings.Repeat("1,", 200_000)
	for i := range 30 {
		deployment := fmt.Sprint("d", i)
		id := make(chan string, 1)
		go func() {
			id <- s.publish("g", fmt.Sprintf(`{"deploymentId":%q,"list":[%s1]}`, deployment, large))
		}()
		c.next()
		c.say(deploymentAck(deployment, "failed", ""))
		event := <-id
		eventually(t, "the answer counts for "+deployment, func() bool { return s.outcome(event).Failed == 1 })
	}
}

// Events of one deployment are distinguished by the time at which each was performed;
// without one that fits, the newest is answered, and never one published after the ack.
func TestDeploymentAckOfOneOfSeveral(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("g")
	c := s.connect(token)
	publish := func(action, performedAt string) string {
		id := s.publish("g", fmt.Sprintf(`{"deploymentId":"d","action":%q,"performedAt":%q}`, action, performedAt))
		c.expect(id)
		return id
	}
	deploy, undeploy := publish("deploy", "2026-01-02T03:04:05Z"), publish("undeploy", "2026-01-02T03:04:06Z")
	answered := func(id string, want outcomeJSON) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s has %+v", id, want), func() bool { return s.outcome(id) == want })
	}
	delivered := outcomeJSON{Targets: 1, Delivered: 1}
	applied, failed := delivered, delivered
	applied.Acked, failed.Failed = 1, 1

	c.say(deploymentAck("d", "in_progress", "2026-01-02T03:04:05Z")) // no answer yet
	c.say(deploymentAck("d", "failed", "2026-01-02T03:04:05Z"))
	answered(deploy, failed)
	answered(undeploy, delivered)
	c.say(deploymentAck("d", "completed", "")) // the newest
	answered(undeploy, applied)
	again := publish("deploy", "2026-01-02T03:04:07Z")
	c.say(deploymentAck("d", "success", "2026-01-01T00:00:00Z")) // of none of them: the newest
	answered(again, applied)
	if got := testutil.ToFloat64(s.counts.AcksIgnored.WithLabelValues(metrics.AckUnknownStatus)); got != 1 {
		t.Errorf("%v acks counted as of an unknown status, want 1", got)
	}
	eventually(t, "the platform gets every status", func() bool { return len(s.messages()) == 4 })
}

// Answers to events that were not for the gateway count for nothing, and reach nobody.
func TestAckOfAnotherGatewaysEvent(t *testing.T) {
	for _, memory := range []int{1, 64 << 20} { // the event is in the window, or has left it
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			cfg := config(t)
			cfg.ReplayMemory = memory
			s := start(t, cfg)
			mine, _ := s.gateway("mine", "prod")
			theirs, _ := s.gateway("theirs", "test")
			other := s.publish("theirs", `{"deploymentId":"d"}`)
			group := func(name string) string { return s.publishGroup(name) }
			ours, notOurs := group("prod"), group("test")
			c := s.connect(mine)
			for _, id := range []string{other, notOurs} {
				c.say(fmt.Sprintf(`{"type":"event.ack","id":%q,"status":"failed","error":"no"}`, id))
				c.say(fmt.Sprintf(`{"type":"event.ack","id":%q}`, id))
			}
			c.say(deploymentAck("d", "failed", ""))
			c.say(`{"type":"event.ack","id":"zzzz-999"}`)
			c.say(fmt.Sprintf(`{"type":"event.ack","id":%q,"status":"failed"}`, ours))
			eventually(t, "our own answer counts", func() bool { return s.outcome(ours).Failed == 1 })
			for _, id := range []string{other, notOurs} {
				if o := s.outcome(id); o != (outcomeJSON{Targets: 1, Pending: 1}) {
					t.Errorf("%s: %+v", id, o)
				}
			}
			for reason, want := range map[string]float64{metrics.AckNotForGateway: 4, metrics.AckUnknownEvent: 2} {
				if got := testutil.ToFloat64(s.counts.AcksIgnored.WithLabelValues(reason)); got != want {
					t.Errorf("%v acks ignored as %s, want %v", got, reason, want)
				}
			}
			for _, m := range s.messages() {
				if m.Type == "event.ack" && m.EventID != ours || m.Type == "deployment.ack" && m.EventID != "" {
					t.Errorf("the platform gets %+v", m)
				}
			}
			if n := testutil.ToFloat64(s.counts.AcksIgnored.WithLabelValues(metrics.AckUnknownStatus)); n != 0 {
				t.Errorf("%v of an unknown status", n)
			}
			_ = s.connect(theirs)
		})
	}
}

// An event that was sent to no connection stays pending, whatever the gateway resumes
// after.
func TestSkippedEventsStayPending(t *testing.T) {
	s := start(t, config(t))
	token, _ := s.gateway("g")
	first := s.connect(token)
	received := s.publish("g", "1")
	first.expect(received)
	first.CloseNow()
	eventually(t, "it is gone", func() bool { return s.front.Live() == 0 })
	skipped := s.publish("g", "2")
	live := s.connect(token) // without a position
	position := live.ack["cursor"].(string)
	live.CloseNow()
	eventually(t, "it is gone", func() bool { return s.front.Live() == 0 })
	last := s.publish("g", "3")
	s.resume(token, position).expect(last)
	eventually(t, "the last is delivered", func() bool { return s.outcome(last).Delivered == 1 })
	for id, want := range map[string]outcomeJSON{received: {Targets: 1, Delivered: 1}, skipped: {Targets: 1, Pending: 1}} {
		if got := s.outcome(id); got != want {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
}

// A delivery that a loop gives up is recorded as failed.
func TestDeliveryThatALoopGivesUp(t *testing.T) {
	s := start(t, config(t))
	s.gateway("g")
	body := []byte(`{"type":"t","payload":1,"timestamp":"2026-01-02T03:04:05.000000000Z","correlationId":"c"}`)
	m := shard.NewMessage(event.Cursor{Epoch: s.log.Epoch(), Seq: 1}, "", body, 0)
	s.notify(shard.Notice{Kind: shard.DeliveryFailed, At: time.Now(), GatewayID: "g", Failure: event.FailedLost, Messages: []*shard.Message{m}})
	var answer struct{ Deliveries []json.RawMessage }
	eventually(t, "the failure is recorded", func() bool {
		s.call("GET", root+"/deliveries?status=failed", "", &answer)
		return len(answer.Deliveries) == 1
	})
}

// A gateway may get an event from one node and answer it to another, which has not seen
// it yet.
func TestAckToALateNode(t *testing.T) {
	t.Parallel() // mostly waits
	cfg := config(t)
	cfg.Plaintext, cfg.Log, cfg.NodeID = true, natsenv.Start(t).URL(), "a"
	late := start(t, cfg)
	token, _ := late.gateway("g")
	answers := late.connect(token)
	cfg.DataDir, cfg.NodeID = t.TempDir(), "b"
	b := start(t, cfg)
	eventually(t, "B knows the gateway", func() bool { return b.registry.Lookup("g") != nil })
	receives := b.connect(token)

	late.dispatcher.Stop() // from now on it dispatches nothing
	acked, failed := b.publish("g", "1"), b.publish("g", `{"deploymentId":"d"}`)
	receives.expect(acked, failed)
	answers.say(fmt.Sprintf(`{"type":"event.ack","id":%q}`, acked))
	answers.say(deploymentAck("d", "failed", ""))
	eventually(t, "the ack counts", func() bool { return b.outcome(acked).Acked == 1 })
	eventually(t, "the platform gets the message", func() bool { return len(b.messages()) == 1 })
	c, err := event.ParseCursor(failed)
	if err != nil {
		t.Fatal(err)
	}
	e, err := late.log.Get(t.Context(), c.Seq)
	if err != nil {
		t.Fatal(err)
	}
	late.recorder.NoteDeployment(&e) // as its dispatcher would
	eventually(t, "the deployment.ack counts", func() bool { return b.outcome(failed).Failed == 1 })
	var list struct {
		Deliveries []struct{ EventID, Reason string }
	}
	eventually(t, "the failure is recorded", func() bool {
		list.Deliveries = nil
		b.call("GET", root+"/deliveries", "", &list)
		return len(list.Deliveries) == 1 && list.Deliveries[0].EventID == failed && list.Deliveries[0].Reason == "rejected"
	})
	if n := testutil.ToFloat64(late.counts.AcksIgnored.WithLabelValues(metrics.AckUnknownEvent)); n != 0 {
		t.Errorf("%v acks are ignored", n)
	}
	answers.say(deploymentAck("of no event", "failed", ""))
	eventually(t, "an ack of nothing is given up", func() bool {
		return testutil.ToFloat64(late.counts.AcksIgnored.WithLabelValues(metrics.AckUnknownEvent)) == 1
	})
	late.dispatcher.Resume() // for the drain
}

// What a gateway skipped on one node is not claimed by another one, to which it comes at
// once.
func TestSkippedOnAnotherNode(t *testing.T) {
	t.Parallel() // mostly waits
	cfg := config(t)
	cfg.Plaintext, cfg.Log, cfg.NodeID = true, natsenv.Start(t).URL(), "a"
	a := start(t, cfg)
	token, _ := a.gateway("g", "prod")
	cfg.DataDir, cfg.NodeID = t.TempDir(), "b"
	b := start(t, cfg)
	eventually(t, "B knows the gateway", func() bool { return b.registry.Lookup("g") != nil })
	gone := func(s *system) {
		eventually(t, "it is gone", func() bool { return s.front.Live() == 0 })
	}
	for range 4 {
		first := a.connect(token)
		received := a.publish("g", "1")
		first.expect(received)
		first.CloseNow()
		gone(a)
		skipped := []string{a.publish("g", "2"), a.publishGroup("prod")}
		b.dispatched()
		eventually(t, "B has them", func() bool { return b.dispatcher.Position() >= a.log.Last().Seq })
		live := b.connect(token)
		back := a.resume(token, live.ack["cursor"].(string)) // at once
		live.CloseNow()
		last := a.publish("g", "3")
		back.expect(last)
		for _, s := range []*system{a, b} {
			eventually(t, "the last is delivered", func() bool { return s.outcome(last).Delivered == 1 })
			eventually(t, "the first is delivered", func() bool { return s.outcome(received).Delivered == 1 })
			for _, id := range skipped {
				if o := s.outcome(id); o.Pending != 1 {
					t.Fatalf("%s was sent to nobody, and has %+v", id, o)
				}
			}
		}
		back.CloseNow()
		gone(a)
		gone(b)
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// An awayRegistry has n gateways, none of which is connected.
type awayRegistry struct {
	Registry
	n    int
	away []string
}

func (a awayRegistry) Reach(event.Target) (int, int, string) { return a.n, 0, "" }

func (a awayRegistry) Disconnected(_ event.Target, limit int) ([]string, int) {
	return a.away[:min(len(a.away), limit)], len(a.away)
}

func TestMissed(t *testing.T) {
	many := make([]string, MaxListed+5)
	for i := range many {
		many[i] = fmt.Sprintf("gateway-%d", i)
	}
	missed := func(gateways []string, total int) []Missed {
		return []Missed{{
			ID: event.Cursor{Epoch: fakeEpoch, Seq: 1}, Type: "t", CorrelationID: "c", At: time.Unix(2000, 7),
			Gateways: gateways, Total: total,
		}}
	}
	tests := []struct {
		name, body string
		change     func(*Config, *limits)
		want       []Missed
	}{
		{"all are connected", `{"gatewayId":"g1","type":"t","correlationId":"c"}`, nil, nil},
		{"all were connected when it was published", good, func(c *Config, _ *limits) { c.Registry = awayRegistry{c.Registry, 0, many} }, nil},
		{"one is not", `{"gatewayIds":["g1","g2"],"type":"t","correlationId":"c"}`, nil, missed([]string{"g2"}, 1)},
		{"of all", `{"all":true,"type":"t","correlationId":"c"}`, nil, missed([]string{"g2", "g3"}, 2)},
		{"a group without members", `{"group":"nobody","type":"t","correlationId":"c"}`, nil, nil},
		{"they connect in the meantime", good, func(c *Config, _ *limits) { c.Registry = awayRegistry{c.Registry, 3, nil} }, nil},
		{"very many", good, func(c *Config, _ *limits) { c.Registry = awayRegistry{c.Registry, len(many), many} }, missed(many[:MaxListed], len(many))},
		{"it is not published", `{"all":true,"type":"-"}`, nil, nil},
		{"the log refuses it", `{"all":true,"type":"t"}`, func(c *Config, _ *limits) { c.Log.(*fakeLog).fail = errors.New("disk full") }, nil},
		{"the log does not confirm it", `{"all":true,"type":"t"}`, func(c *Config, _ *limits) { c.Log.(*fakeLog).unconfirmed = errors.New("late") }, nil},
		{"nobody listens", `{"all":true,"type":"t"}`, func(c *Config, _ *limits) { c.Missed = nil }, nil},
	}
	for _, media := range []string{typeJSON, typeNDJSON} {
		for _, tt := range tests {
			t.Run(tt.name+", "+media, func(t *testing.T) {
				t.Parallel()
				var changes []func(*Config, *limits)
				if tt.change != nil {
					changes = append(changes, tt.change)
				}
				r := start(t, changes...)
				req := r.request("POST", prefix+"/events", strings.NewReader(tt.body))
				req.Header.Set("Content-Type", media)
				r.send(req)
				if got := r.reportedMissed(); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("got  %+v\nwant %+v", got, tt.want)
				}
			})
		}
	}
}

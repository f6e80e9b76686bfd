// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/stats"
)

// Every counter of a node that has done nothing is there, at 0, with every value of its
// labels. Only the types of events are not known before they come.
func TestCountersExistFromTheStart(t *testing.T) {
	n := NewNode("test")
	for _, c := range append(n.collectors(), NewCollector([]*stats.Shard{stats.NewShard()}, &n.Failures)) {
		if vec, ok := c.(*prometheus.CounterVec); ok && vec != n.published && testutil.CollectAndCount(vec) == 0 {
			descs := make(chan *prometheus.Desc, 1)
			vec.Describe(descs)
			t.Errorf("no series of %v", <-descs)
		}
	}
	families, err := NewRegistry(n, []*stats.Shard{stats.NewShard()}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := make(map[string]int)
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "gatecast_") || !strings.HasSuffix(name, "_total") {
			continue
		}
		for _, m := range f.GetMetric() {
			series[name]++
			if v := m.GetCounter().GetValue(); v != 0 {
				t.Errorf("%s%v begins at %v", name, m.GetLabel(), v)
			}
		}
	}
	for name, want := range map[string]int{
		"gatecast_connects_total":            len(connectResults),
		"gatecast_accept_errors_total":       len(listeners) * len(acceptErrors),
		"gatecast_verifications_total":       len(verificationResults),
		"gatecast_rejected_publishes_total":  len(publishErrors),
		"gatecast_panics_total":              len(listeners),
		"gatecast_foreign_messages_total":    len(foreignSources),
		"gatecast_disconnects_total":         len(event.CloseReasonNames()),
		"gatecast_messages_received_total":   len(event.MessageKindNames()),
		"gatecast_deliveries_total":          int(event.NumFailureReasons) + 1,
		"gatecast_slow_consumers_total":      1,
		"gatecast_heartbeat_timeouts_total":  1,
		"gatecast_replayed_events_total":     1,
		"gatecast_resyncs_total":             1,
		"gatecast_log_lines_dropped_total":   1,
		"gatecast_records_dropped_total":     1,
		"gatecast_trace_spans_dropped_total": 1,
	} {
		if series[name] != want {
			t.Errorf("%s has %d series, want %d", name, series[name], want)
		}
	}
}

func TestLabelValuesAreThereOnce(t *testing.T) {
	for _, list := range [][]string{listeners, connectResults, acceptErrors, verificationResults, publishErrors, foreignSources} {
		if sorted := slices.Sorted(slices.Values(list)); len(slices.Compact(sorted)) != len(list) {
			t.Errorf("twice in %v", list)
		}
	}
}

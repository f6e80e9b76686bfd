// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"testing"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
)

// An event belongs to the deployment that every JSON parser reads in its payload.
func TestReadDeployment(t *testing.T) {
	for body, want := range map[string]string{
		`{"type":"t","payload":{"apiId":"a","deploymentId":"d"},"gatewayId":"g"}`: "d",
		`{"type":"t","payload":{"deployment\u0049d":"d"}}`:                        "d",
		`{"type":"t","payload":{"deploymentID":"d"}}`:                             "",
		`{"type":"t","payload":{"deploymentId":"d","deploymentId":"e"}}`:          "",
		`{"type":"t","payload":{"a":{"deploymentId":"d"}}}`:                       "",
		`{"type":"t","payload":{"deploymentId":7}}`:                               "",
		`{"type":"t","payload":{"deploymentId":"\ud800"}}`:                        "",
		`{"type":"t","payload":["deploymentId"]}`:                                 "",
		`{"type":"t","payload":"\"deploymentId\":\"d\"","deploymentId":"d"}`:      "",
	} {
		if got, _ := readDeployment([]byte(body)); got != want {
			t.Errorf("%s names deployment %q, want %q", body, got, want)
		}
	}
}

// Times of performedAt are compared as times, not as texts.
func TestFindByPerformedAt(t *testing.T) {
	d := newDeployments()
	times := []string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:06Z", "yesterday", ""}
	for i, at := range times {
		body := fmt.Appendf(nil, `{"type":"t","payload":{"deploymentId":"d","performedAt":%q}}`, at)
		d.note(&eventlog.Entry{Cursor: event.Cursor{Epoch: 1, Seq: uint64(i + 1)}, Body: body})
	}
	for at, want := range map[string]uint64{
		"2026-01-02T03:04:05Z": 1, "2026-01-02t03:04:05.000z": 1, "2026-01-02T04:04:05+01:00": 1, "2026-01-02T03:04:05.500000000Z": 2,
		"2026-01-02T03:04:06-00:00": 3, "yesterday": 4, "Yesterday": 5, "": 5, "2026-01-02T03:04:07Z": 5,
	} {
		if got, ok := d.find("d", at, func(*deploymentEvent) bool { return true }); !ok || got.Seq != want {
			t.Errorf("%q matches event %d, want %d", at, got.Seq, want)
		}
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestFleetWaitFails(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		fail error
		want string
	}{
		{"with a peer", t.Context(), errors.New("connection lost"), "connection lost"},
		{"with the context", ended, nil, "1 of 3 deliveries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet()
			a := newArrivals(3)
			f.expect(a)
			if err := f.arrived(stamp{n: 1}); err != nil {
				t.Fatal(err)
			}
			if tt.fail != nil {
				f.fail(tt.fail)
				f.fail(errors.New("a later one"))
			}
			if err := f.wait(tt.ctx, a); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestFleetExpectsNothing(t *testing.T) {
	if err := newFleet().arrived(stamp{n: 4}); err == nil {
		t.Error("an unexpected event: no error")
	}
}

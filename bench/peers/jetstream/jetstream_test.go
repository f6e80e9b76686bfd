// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package jetstream

import "testing"

// More than a window of events, so that the publisher has to wait for acks.
func TestRate(t *testing.T) {
	rate, err := Rate(t.Context(), Config{Folder: t.TempDir(), Events: 2*window + 1, EventBytes: 200, Subjects: 100})
	if err != nil {
		t.Fatal(err)
	}
	if rate <= 0 {
		t.Errorf("%v events per second", rate)
	}
}

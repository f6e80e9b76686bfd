// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The store marker gets what has been known for a minute.
func TestDurableExtents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, err := beginExtents(t.TempDir(), map[string]extent{"s": {Last: 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer x.close()
		var got []map[string]extent
		for i := range uint64(8) {
			x.note("s", extent{Last: min(2+i, 6)})
			if due := x.durable(time.Now()); due != nil {
				got = append(got, due)
			}
			time.Sleep(durableAfter / 2)
		}
		want := []map[string]extent{{"s": {Last: 2}}, {"s": {Last: 4}}, {"s": {Last: 6}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if read, err := readExtents(filepath.Dir(x.file.Name())); err != nil || read["s"].Last != 6 {
			t.Error(read, err)
		}
	})
}

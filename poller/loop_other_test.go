// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package poller

import (
	"errors"
	"testing"
)

func TestStartIsUnsupported(t *testing.T) {
	if loop, err := Start(Config{}); loop != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Start = %v, %v; want errors.ErrUnsupported", loop, err)
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"strings"
	"testing"

	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

const natsPassword = "p4ssword-of-nats"

// startNATS starts three servers, each a process, and returns them with their URLs.
func startNATS(t *testing.T) (servers []*natsenv.Process, urls string) {
	t.Helper()
	servers = natsenv.StartProcesses(t, "gatecast", natsPassword)
	var list []string
	for _, s := range servers {
		list = append(list, s.URL())
	}
	return servers, strings.Join(list, ",")
}

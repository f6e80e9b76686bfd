// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package chaos kills and stops nodes, NATS servers and connections under load. It then counts the
// events with a receipt that a gateway did not receive, received twice, or received out of order:
// there must be none.
//
// It contains tests only. They are short by default. Long runs are
//
//	go test ./test/chaos -run 'Crash|Drops' -rounds 50 -gateways 200 -rate 2000 -timeout 30m -v
//	go test ./test/chaos -run Cluster -rounds 20 -gateways 200 -rate 1000 -timeout 30m -v
package chaos

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package chaos kills what gatecast consists of, under load, and counts what that
// cost: events that a publisher has a receipt for and a gateway did not get, got
// twice, or got out of order. All three must be none.
//
// It is tests only. The short form runs with all others; the long ones, with
// figures, are
//
//	go test ./test/chaos -run 'Crash|Drops' -rounds 50 -gateways 200 -rate 2000 -timeout 30m -v
//	go test ./test/chaos -run Cluster -rounds 20 -gateways 200 -rate 1000 -timeout 30m -v
package chaos

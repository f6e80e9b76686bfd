// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile_test

func serveAttack(string) error { return nil }

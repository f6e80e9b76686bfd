// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "time"

// A demoCmd runs a node, its gateways and its platform in one process.
type demoCmd struct {
	For   time.Duration `help:"Time to run. None: until Ctrl-C." placeholder:"TIME"`
	Every time.Duration `help:"Time between two events." default:"1s" placeholder:"TIME"`
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package natsenv

import "os/exec"

// dieWithParent does nothing: only Linux can do that.
func dieWithParent(*exec.Cmd) {}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsenv

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill a process when this one ends.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

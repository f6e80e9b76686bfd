// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package testenv

import "errors"

func mountTmpfs(string, string) error  { return errors.ErrUnsupported }
func unmount(string) error             { return errors.ErrUnsupported }
func remountReadOnly(string) error     { return errors.ErrUnsupported }
func resizeTmpfs(string, string) error { return errors.ErrUnsupported }

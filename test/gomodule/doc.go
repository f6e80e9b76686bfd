// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package gomodule tests this repository as a Go module: that `go install` and `go get` work with
// it through a module proxy, and that it can be renamed.
package gomodule

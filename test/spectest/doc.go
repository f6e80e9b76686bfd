// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package spectest holds what tests see of gatecast to what the documents of package
// spec say: answers of the internal listener to the OpenAPI document, frames of the
// WebSocket to the AsyncAPI document. Only tests import it.
package spectest

// A T is a test, or what else is to be told that something is not as described. Any
// goroutine may call it.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

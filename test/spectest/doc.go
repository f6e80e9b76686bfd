// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package spectest checks what tests observe against the documents of package spec: responses of
// the internal listener against the OpenAPI document, and WebSocket frames against the AsyncAPI
// document. Only tests import it.
package spectest

// A T receives the errors, usually a test. Goroutines can share it.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

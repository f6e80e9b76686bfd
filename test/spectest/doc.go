// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package spectest compares what the program does with the documents of package
// spec: answers of the internal HTTP API with the OpenAPI document, frames and
// close codes of the WebSocket with the AsyncAPI document. Only tests import
// it.
package spectest

// A T reports differences; *testing.T is one. Any goroutine may call it.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

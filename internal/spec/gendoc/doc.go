// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package main writes the reference pages docs/reference/http.md and
// docs/reference/protocol.md from openapi.yaml and asyncapi.yaml. It is for
// development only: run it with
//
//	go generate ./internal/spec
//
// The documents are the source of every fact on the pages. Where a fact is also
// a Go constant, the document names the constant, and the program fails if the
// two differ (constants.go).
package main

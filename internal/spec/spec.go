// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package spec holds what machines read of gatecast's outside: an OpenAPI document
// of the internal listener, and an AsyncAPI document of the gateways' WebSocket. The
// tests of other packages hold both to the truth, by way of spectest.
package spec

import _ "embed"

// OpenAPI describes the internal listener, in YAML.
//
//go:embed openapi.yaml
var OpenAPI string

// AsyncAPI describes the gateways' WebSocket, in YAML.
//
//go:embed asyncapi.yaml
var AsyncAPI string

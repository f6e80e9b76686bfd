// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package spec holds the machine-readable documents of gatecast's interfaces: an OpenAPI
// document of the internal HTTP API, and an AsyncAPI document of the gateway protocol. The
// documents are the source of the pages in docs/reference (see gendoc). Tests of other packages
// compare what the program does with them, by way of package spectest.
package spec

import _ "embed"

//go:generate go run ./gendoc ../../docs/reference

// OpenAPI is the OpenAPI 3.0 document of the internal HTTP API, in YAML.
//
//go:embed openapi.yaml
var OpenAPI string

// AsyncAPI is the AsyncAPI 3.0 document of the gateway protocol, in YAML.
//
//go:embed asyncapi.yaml
var AsyncAPI string

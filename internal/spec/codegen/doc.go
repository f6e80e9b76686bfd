// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package codegen is a module of its own, so that gatecast does not need what it
// needs: it tries that oapi-codegen, with its defaults, makes Go from openapi.yaml
// that compiles.
package codegen

// What generated code imports.
import (
	_ "github.com/getkin/kin-openapi/openapi3"
	_ "github.com/labstack/echo/v4"
	_ "github.com/oapi-codegen/runtime"
	_ "github.com/oapi-codegen/runtime/types"
	_ "go.yaml.in/yaml/v3"
)

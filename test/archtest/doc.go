// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package archtest tests the structure of the source code: which package imports which package and
// which module, the package table in the architecture document, license headers, and where unsafe,
// comparisons of secrets and metric labels are allowed.
package archtest

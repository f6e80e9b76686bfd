// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package testenv tells tests what they run under, and gives them what several need.
package testenv

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package stats counts what a node does and shows it: counters with one writer
// each, the words for why something ended or failed, their Prometheus form, and
// the JSON of the stats route. Of gatecast it imports only the vocabulary, so
// that every part can count.
package stats

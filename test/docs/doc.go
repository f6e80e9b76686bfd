// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs tests the documents. Links resolve, lines are short, words are standard, names of
// flags, metrics, tests and files exist, and the commands of the README and the tutorial run as they
// stand and print what the documents show.
package docs

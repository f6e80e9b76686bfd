// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package strict reads JSON objects, times, query strings and text from others
// in one strict way. Input that parsers are known to read in different ways is
// refused, because a check that one parser passes would not hold for the next
// one: names in other letter case or twice, strings that are not Unicode,
// queries that are not percent-encoded. Errors say which field they are about.
//
// The package imports nothing of this module, and none of its functions panics
// on any input.
package strict

// A FieldError says which field of a request is invalid, and what would be
// valid.
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

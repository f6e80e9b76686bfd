// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Package strict reads what others send in the one way that every careful parser
// reads it: JSON objects whose names are exact and there once, times of RFC 3339,
// query strings, and text that is UTF-8. What parsers are known to read in
// different ways is an error, which says which field it is about.
//
// It imports nothing of gatecast.
package strict

// A FieldError says which field of a request cannot stand, and what would.
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

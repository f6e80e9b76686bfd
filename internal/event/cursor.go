// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package event

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// A Cursor is the position of an event in the log: the log's epoch and the event's
// sequence. Its text, EPOCH-SEQUENCE, is the event id that publishers and gateways see;
// it is opaque to them. Cursors of one epoch are ordered by sequence. Cursors of
// different epochs cannot be compared without the log's lineage.
//
// The zero Cursor is no position.
type Cursor struct {
	// Epoch names one history of the log. A log that was recreated or set back has
	// another epoch, so that an old cursor is never taken for a position in it.
	Epoch uint64
	// Seq is the sequence of the event, from 1.
	Seq uint64
}

// ErrCursor is returned for a text that is not a cursor.
var ErrCursor = errors.New("not an event id: want EPOCH-SEQUENCE, as in k3f9-1042")

// ParseCursor parses a cursor. It accepts exactly what [Cursor.AppendText] writes.
func ParseCursor(s string) (Cursor, error) {
	epoch, seq, ok := strings.Cut(s, "-")
	if !ok {
		return Cursor{}, ErrCursor
	}
	var c Cursor
	var err error
	if c.Epoch, err = strconv.ParseUint(epoch, 36, 64); err != nil {
		return Cursor{}, ErrCursor
	}
	if c.Seq, err = strconv.ParseUint(seq, 10, 64); err != nil || c.Seq == math.MaxUint64 {
		return Cursor{}, ErrCursor
	}
	if c.String() != s { // leading zeros, signs and capitals: a position has one text
		return Cursor{}, ErrCursor
	}
	return c, nil
}

// AppendText appends the cursor's text to dst.
func (c Cursor) AppendText(dst []byte) []byte {
	dst = strconv.AppendUint(dst, c.Epoch, 36)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, c.Seq, 10)
}

// String returns the cursor's text.
func (c Cursor) String() string { return string(c.AppendText(make([]byte, 0, 32))) }

// IsZero reports whether c is no position.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// MarshalText implements [encoding.TextMarshaler].
func (c Cursor) MarshalText() ([]byte, error) { return c.AppendText(nil), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Cursor) UnmarshalText(b []byte) (err error) {
	*c, err = ParseCursor(string(b))
	return err
}

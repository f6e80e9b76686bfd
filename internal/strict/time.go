// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"errors"
	"time"
)

// ErrTime is the error of [Time].
var ErrTime = errors.New("want a time of RFC 3339, as in 2027-01-31T12:00:00Z")

// Time parses a time as RFC 3339 section 5.6 defines it. [time.Parse] accepts
// more and less than that: here hours have two digits, a fraction follows a
// point, "T" and "Z" can be lower case, and offsets go up to 23:59. Second 60
// is accepted in the last minute of a month in UTC, and is read as the
// following second. Digits after the ninth of a fraction are dropped. The year
// in UTC must be 0 to 9999. The result is in UTC.
func Time(s string) (time.Time, error) {
	// 2006-01-02T15:04:05
	const fixed = 19
	if len(s) <= fixed || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, ErrTime
	}
	var bad bool
	number := func(from, to int) (n int) {
		for _, c := range []byte(s[from:to]) {
			bad = bad || c < '0' || c > '9'
			n = 10*n + int(c-'0')
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	if bad || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, ErrTime
	}
	nanos, rest, ok := fraction(s[fixed:])
	offset, ok2 := zone(rest)
	at := time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
	if !ok || !ok2 || at.Month() != time.Month(month) || at.Day() != day || at.Year() != year {
		return time.Time{}, ErrTime
	}
	at = at.Add(-offset)
	if second == 60 && !endsMonth(at) {
		return time.Time{}, ErrTime
	}
	at = at.Add(time.Duration(second)*time.Second + nanos)
	if at.Year() < 0 || at.Year() > 9999 {
		return time.Time{}, ErrTime
	}
	return at, nil
}

// endsMonth reports whether a minute is the last of a month, the only ones that
// can have a leap second.
func endsMonth(minute time.Time) bool {
	next := minute.Add(time.Minute)
	return next.Day() == 1 && next.Hour() == 0 && next.Minute() == 0
}

// fraction reads a fraction of a second, if there is one.
func fraction(s string) (d time.Duration, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	i, unit := 1, 100*time.Millisecond
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		d += time.Duration(s[i]-'0') * unit
		unit /= 10
	}
	return d, s[i:], i > 1
}

// zone reads an offset from UTC.
func zone(s string) (offset time.Duration, ok bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	var field [2]int
	for i, at := range [2]int{1, 4} {
		tens, ones := s[at], s[at+1]
		if tens < '0' || tens > '9' || ones < '0' || ones > '9' {
			return 0, false
		}
		field[i] = 10*int(tens-'0') + int(ones-'0')
	}
	if field[0] > 23 || field[1] > 59 {
		return 0, false
	}
	offset = time.Duration(field[0])*time.Hour + time.Duration(field[1])*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

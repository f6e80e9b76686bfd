// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/netaddr"
)

// seconds is a time given as a number of seconds, or with a unit as in 1m30s.
type seconds time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *seconds) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(time.Second) {
		*s = seconds(time.Duration(n) * time.Second)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time; want seconds, as in 30, or a unit, as in 1m30s", text)
	}
	*s = seconds(d)
	return nil
}

// byteSize is a number of bytes, with KiB, MiB or GiB behind it if need be.
type byteSize int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *byteSize) UnmarshalText(text []byte) error {
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(string(text), unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.size {
			break
		}
		*b = byteSize(n * unit.size)
		return nil
	}
	return fmt.Errorf("%q is not a size; want bytes, as in 1048576, or a unit, as in 64MiB", text)
}

// origins are web origins, with commas between them. The node checks them.
type origins []string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *origins) UnmarshalText(text []byte) error {
	*o = nil
	for part := range strings.SplitSeq(string(text), ",") {
		if part = strings.TrimSpace(part); part != "" {
			*o = append(*o, part)
		}
	}
	return nil
}

// cidrs are ranges of addresses, with commas between them; an address is a range
// of one.
type cidrs []netip.Prefix

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *cidrs) UnmarshalText(text []byte) error {
	*c = nil
	for part := range strings.SplitSeq(string(text), ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, err := netaddr.ParsePrefix(part)
		if err != nil {
			return fmt.Errorf("%q is not a range of addresses: %w; want CIDRs such as 10.0.0.0/8 or 2001:db8::/32, with commas between them", part, err)
		}
		*c = append(*c, p)
	}
	return nil
}

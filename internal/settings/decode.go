// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/netaddr"
)

// decoders read the text of a setting, by the tag type. Each returns a value that can be
// converted to the type of the field.
var decoders = map[string]func(string) (any, error){
	"count":    func(s string) (any, error) { return decodeCount(s) },
	"size":     func(s string) (any, error) { return decodeSize(s) },
	"seconds":  func(s string) (any, error) { return decodeSeconds(s) },
	"duration": func(s string) (any, error) { return decodeDuration(s) },
	"ratio":    func(s string) (any, error) { return decodeRatio(s) },
	"level":    func(s string) (any, error) { return decodeLevel(s) },
	"cidrs":    func(s string) (any, error) { return decodeCIDRs(s) },
	"list":     func(s string) (any, error) { return decodeList(s), nil },
}

// Types returns the values of the tag type that [Decode] reads.
func Types() []string {
	list := make([]string, 0, len(decoders))
	for name := range decoders {
		list = append(list, name)
	}
	return list
}

// Decode reads text as a value of a tag type, and stores it in target, which is a field of
// [Settings] or of the same Go type. It panics for a type that [Types] does not have.
func Decode(typ, text string, target reflect.Value) error {
	v, err := decoders[typ](text)
	if err != nil {
		return err
	}
	target.Set(reflect.ValueOf(v).Convert(target.Type()))
	return nil
}

// decodeCount reads an integer as Go writes it: also 0x10 or 1_000. A sign is allowed, so
// that the error for -1 is about the limit.
func decodeCount(text string) (int, error) {
	n, err := strconv.ParseInt(text, 0, strconv.IntSize)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number; want digits, as in 1000", text)
	}
	return int(n), nil
}

// sizeUnits are in the order in which suffixes must be tried: "KiB" ends with "B".
var sizeUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// decodeSize reads a number of bytes, at least 0. A space before the unit is allowed. Decimal
// units such as MB are refused: their meaning differs between programs.
func decodeSize(text string) (int64, error) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.size {
			break
		}
		return n * unit.size, nil
	}
	return 0, fmt.Errorf("%q is not a size; want bytes, as in 1048576, or a unit, as in 64MiB", text)
}

// decodeSeconds reads a time of at least 0. Without a unit it is in seconds.
func decodeSeconds(text string) (time.Duration, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(time.Second) {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time; want seconds, as in 30, or a unit, as in 1m30s", text)
	}
	return d, nil
}

// decodeDuration reads a time, which must have a unit.
func decodeDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time; want a number with a unit, as in 10s or 1h30m", text)
	}
	return d, nil
}

// decodeRatio reads a floating-point number. It accepts NaN, which Validate refuses.
func decodeRatio(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number; want a fraction, as in 0.5", text)
	}
	return f, nil
}

// decodeLevel reads a level of log/slog in any letter case.
func decodeLevel(text string) (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("%q is not a log level; want debug, info, warn or error", text)
	}
	return level, nil
}

// decodeList reads values with commas between them. Empty ones do not count.
func decodeList(text string) (list []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// decodeCIDRs reads ranges of addresses with commas between them. An address is a range
// of one.
func decodeCIDRs(text string) (list []netip.Prefix, err error) {
	for _, part := range decodeList(text) {
		p, err := netaddr.ParsePrefix(part)
		if err != nil {
			return nil, fmt.Errorf("%q is not a range of addresses: %w; want CIDRs such as 10.0.0.0/8 or 2001:db8::/32, with commas between them", part, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// format writes a value of a tag type as a user can write it: a size with the largest unit
// that divides it.
func format(typ string, v any) string {
	if typ == "size" {
		n := reflect.ValueOf(v).Int()
		for _, unit := range sizeUnits {
			if n > 0 && unit.size > 1 && n%unit.size == 0 {
				return strconv.FormatInt(n/unit.size, 10) + unit.name
			}
		}
	}
	return fmt.Sprint(v)
}

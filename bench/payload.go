// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A stamp is the part of an event's payload that its receivers check.
type stamp struct {
	n    int64         // number of the event in its workload, from 1
	sent time.Duration // time of the publish, as returned by now
	to   int64         // number of the gateway it is for; 0: for several
}

// An audience is the target of an event.
type audience struct {
	field  string // field of the publish request, for example `"all":true`
	number int64  // value of the stamp's to
}

// toAll is all gateways of the node.
var toAll = audience{field: `"all":true`}

// toGroup returns the gateways of a group.
func toGroup(name string) audience { return audience{field: `"group":"` + name + `"`} }

// audience returns the gateway alone.
func (g *gateway) audience() audience {
	return audience{`"gatewayId":"` + g.ID + `"`, g.number}
}

// eventType is the type of all published events.
const eventType = "bench.event"

// appendDraft appends a publish request of about size bytes. It sets the stamp's receiver to the
// audience.
func appendDraft(dst []byte, to audience, s stamp, size int) []byte {
	start := len(dst)
	dst = append(dst, '{')
	dst = append(dst, to.field...)
	dst = append(dst, `,"type":"`+eventType+`","payload":{"n":`...)
	dst = strconv.AppendInt(dst, s.n, 10)
	dst = append(dst, `,"sent":`...)
	dst = strconv.AppendInt(dst, int64(s.sent), 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendInt(dst, to.number, 10)
	dst = append(dst, `,"pad":"`...)
	const end = `"}}`
	if n := size - (len(dst) - start + len(end)); n > 0 {
		dst = appendPad(dst, s.n, n)
	}
	return append(dst, end...)
}

// appendPad appends n bytes of text that compress about as well as the JSON of a platform: repeated
// words with different numbers between them.
func appendPad(dst []byte, seed int64, n int) []byte {
	end := len(dst) + n
	for x := uint64(seed) + 1; len(dst) < end; {
		x = x*6364136223846793005 + 1442695040888963407 // Knuth's constants: the same text in each run
		dst = append(dst, "path /v1/apis/"...)
		dst = strconv.AppendUint(dst, x>>50, 10)
		dst = append(dst, " method GET upstream 10.0."...)
		dst = strconv.AppendUint(dst, x>>32&0xffff, 10)
		dst = append(dst, ":8080 timeoutMs "...)
		dst = strconv.AppendUint(dst, x>>20&0xfff, 10)
		dst = append(dst, "; "...)
	}
	return dst[:end]
}

var (
	beforeN    = []byte(`"payload":{"n":`)
	beforeSent = []byte(`,"sent":`)
	beforeTo   = []byte(`,"to":`)
)

// errForeign is the error for a message that is not an event of this load.
var errForeign = errors.New("not an event of this load")

// parseStamp finds the stamp in an event as received. A search is several times cheaper than
// decoding JSON, for 10,000 receivers.
func parseStamp(message []byte) (s stamp, err error) {
	_, rest, ok := bytes.Cut(message, beforeN)
	n, rest, ok1 := cutInt(rest)
	rest, ok2 := bytes.CutPrefix(rest, beforeSent)
	sent, rest, ok3 := cutInt(rest)
	rest, ok4 := bytes.CutPrefix(rest, beforeTo)
	to, _, ok5 := cutInt(rest)
	if !ok || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return stamp{}, fmt.Errorf("%w: %.100q", errForeign, message)
	}
	return stamp{n, time.Duration(sent), to}, nil
}

// cutInt parses a number at the start of b.
func cutInt(b []byte) (v int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		v = v*10 + int64(b[i]-'0')
	}
	return v, b[i:], i > 0
}

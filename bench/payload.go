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

// A stamp is what an event's payload tells its receivers.
type stamp struct {
	n    int64         // the event's number in its workload, from 1
	sent time.Duration // on the clock of now
	to   int64         // number of the one gateway it is for; 0: it is for many
}

// An audience is whom an event is for.
type audience struct {
	field  string // of the publish request, as in `"all":true`
	number int64  // for the stamp's to
}

// toAll is every gateway there is.
var toAll = audience{field: `"all":true`}

// toGroup returns the gateways of a group.
func toGroup(name string) audience { return audience{field: `"group":"` + name + `"`} }

// audience returns the gateway alone.
func (g *gateway) audience() audience {
	return audience{`"gatewayId":"` + g.ID + `"`, g.number}
}

// eventType is the type of every event published.
const eventType = "bench.event"

// appendDraft appends a publish request for an event, of about size bytes. The
// stamp's receiver is who the event is for.
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

// appendPad appends n bytes of text that compresses about as a platform's JSON
// does: words that come again, with numbers between them that do not.
func appendPad(dst []byte, seed int64, n int) []byte {
	end := len(dst) + n
	for x := uint64(seed) + 1; len(dst) < end; {
		x = x*6364136223846793005 + 1442695040888963407 // Knuth's, for the same pad every time
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

// errForeign says that a message is not an event of ours.
var errForeign = errors.New("a message that is not one of our events")

// parseStamp finds the stamp in an event as a gateway receives it. A search is
// several times cheaper than decoding JSON, and there are 10,000 receivers.
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

// cutInt takes a number off the front of b.
func cutInt(b []byte) (v int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		v = v*10 + int64(b[i]-'0')
	}
	return v, b[i:], i > 0
}

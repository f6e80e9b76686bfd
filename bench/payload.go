// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// A stamp is what an event's payload tells its receivers.
type stamp struct {
	n    int64         // the event's number in its workload, from 1
	sent time.Duration // on the clock of now
}

// eventType is the type of every event published.
const eventType = "bench.event"

// appendDraft appends a publish request for an event, of about size bytes.
// target is its field that names the receivers, as in `"all":true`.
func appendDraft(dst []byte, target string, s stamp, size int) []byte {
	start := len(dst)
	dst = append(dst, '{')
	dst = append(dst, target...)
	dst = append(dst, `,"type":"`+eventType+`","payload":{"n":`...)
	dst = strconv.AppendInt(dst, s.n, 10)
	dst = append(dst, `,"sent":`...)
	dst = strconv.AppendInt(dst, int64(s.sent), 10)
	dst = append(dst, `,"pad":"`...)
	const end = `"}}`
	for len(dst)-start+len(end) < size {
		dst = append(dst, 'x')
	}
	return append(dst, end...)
}

var (
	beforeN    = []byte(`"payload":{"n":`)
	beforeSent = []byte(`,"sent":`)
)

// parseStamp finds the stamp in an event as a gateway receives it. A search is
// several times cheaper than decoding JSON, and there are 10,000 receivers.
func parseStamp(message []byte) (stamp, error) {
	_, rest, ok := bytes.Cut(message, beforeN)
	n, rest, ok1 := cutInt(rest)
	rest, ok2 := bytes.CutPrefix(rest, beforeSent)
	sent, _, ok3 := cutInt(rest)
	if !ok || !ok1 || !ok2 || !ok3 {
		return stamp{}, fmt.Errorf("a message that is not one of our events: %.100q", message)
	}
	return stamp{n, time.Duration(sent)}, nil
}

// cutInt takes a number off the front of b.
func cutInt(b []byte) (v int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		v = v*10 + int64(b[i]-'0')
	}
	return v, b[i:], i > 0
}

// toGateway and toAll are values for appendDraft's target.
func toGateway(id string) string { return `"gatewayId":"` + id + `"` }

const toAll = `"all":true`

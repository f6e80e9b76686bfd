// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package eventlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A Lineage says which epoch each sequence of a stream belongs to, in the present history of
// the stream. Epochs follow each other without a gap: each begins after the last sequence of
// the previous one.
//
// A position (epoch, sequence) is part of this history if and only if the sequence is in that
// epoch's range. When a stream goes back (a backup is restored, a server loses its newest
// writes), the current epoch ends at the last sequence that both histories are known to have in
// common, and a new epoch begins after it. So a sequence that is used a second time has
// another epoch the second time.
//
// A Lineage does not change. It is safe for concurrent use.
type Lineage struct {
	// epochs are in order, the oldest first. There is at least one. The last sequence of the
	// newest is math.MaxUint64.
	epochs []epoch
	// floor is the last sequence of the epochs that were removed from the list. Events up
	// to there have no id and count as not retained.
	floor uint64

	// lost says that events before the marker can be lost. It belongs to that one marker, and
	// is not set when the marker of the same lineage is appended again.
	lost bool
	// marker is the sequence of the message that the lineage was read from; 0: none.
	marker uint64
	// branch counts how often this process has seen the history go back. Only sequences of
	// the same branch can be compared.
	branch uint64
}

// An epoch is one part of a history.
type epoch struct {
	number uint64
	last   uint64 // sequence
}

// maxEpochs bounds the list in a marker. The marker, of some 50 KB then, must fit into the
// max_payload of any server.
const maxEpochs = 1000

// firstEpoch returns the lineage of a stream without a marker.
func firstEpoch(number uint64) *Lineage {
	return &Lineage{epochs: []epoch{{number, math.MaxUint64}}}
}

// newEpoch returns a number for an epoch that follows another one. It grows with time and has
// 20 random bits, so that two copies of a history that continue at the same millisecond do not
// choose the same number.
func newEpoch(after uint64) uint64 {
	n := uint64(time.Now().UnixMilli())<<20 | rand.Uint64N(1<<20)
	if n <= after { // the clock was set back
		n = after + 1 + rand.Uint64N(1<<20)
	}
	return n
}

// Epoch returns the newest epoch.
func (l *Lineage) Epoch() uint64 { return l.epochs[len(l.epochs)-1].number }

// start returns the sequence that an epoch begins after.
func (l *Lineage) start(i int) uint64 {
	if i == 0 {
		return l.floor
	}
	return l.epochs[i-1].last
}

// CursorOf returns the position of a sequence.
func (l *Lineage) CursorOf(seq uint64) event.Cursor {
	return event.Cursor{Epoch: l.epochs[l.at(seq)].number, Seq: seq}
}

// find returns the index of an epoch, or -1 if it is not one of this history.
func (l *Lineage) find(number uint64) int {
	return slices.IndexFunc(l.epochs, func(e epoch) bool { return e.number == number })
}

// Contains reports whether a position is part of this history. It does not know the newest
// sequence of the stream.
func (l *Lineage) Contains(c event.Cursor) bool {
	i := l.find(c.Epoch)
	if i < 0 || c.Seq > l.epochs[i].last {
		return false
	}
	return c.Seq > l.start(i) || i == 0 && c.Seq == l.floor
}

// Clamp returns the sequence of a position; or, if the history went back to before the
// position, the sequence it went back to. It reports false for an unknown epoch.
func (l *Lineage) Clamp(c event.Cursor) (seq uint64, ok bool) {
	i := l.find(c.Epoch)
	if i < 0 {
		return 0, false
	}
	return min(c.Seq, l.epochs[i].last), true
}

// Barrier returns the sequence up to which everything in this history is older than a position,
// or can be. If the history went back to before the position, it is the sequence it went back
// to: everything later is newer. Epoch numbers grow with time. So an epoch that is no longer
// listed, or was lost, ended before the next higher one began. A number higher than all is that
// of an epoch that this node has not read yet.
func (l *Lineage) Barrier(c event.Cursor) uint64 {
	if seq, ok := l.Clamp(c); ok {
		return seq
	}
	for i, e := range l.epochs {
		if e.number > c.Epoch {
			return l.start(i)
		}
	}
	return c.Seq
}

// Common returns the last sequence up to which every sequence has the same epoch in both
// histories: math.MaxUint64 if that is so everywhere.
func (l *Lineage) Common(other *Lineage) uint64 {
	common := max(l.floor, other.floor)
	i, j := l.at(common+1), other.at(common+1)
	for l.epochs[i].number == other.epochs[j].number {
		a, b := l.epochs[i].last, other.epochs[j].last
		if a != b || a == math.MaxUint64 {
			return min(a, b)
		}
		common, i, j = a, i+1, j+1
	}
	return common
}

// at returns the index of the epoch that a sequence belongs to.
func (l *Lineage) at(seq uint64) int {
	if newest := len(l.epochs) - 1; seq > l.start(newest) { // nearly always
		return newest
	}
	i, _ := slices.BinarySearchFunc(l.epochs, seq, func(e epoch, seq uint64) int { return cmp.Compare(e.last, seq) })
	return i
}

// next returns the lineage in which an epoch begins after a sequence. What came after that
// sequence is no longer part of the history.
func (l *Lineage) next(number, after uint64) *Lineage {
	n := &Lineage{floor: l.floor, branch: l.branch}
	for i, e := range l.epochs {
		if i > 0 && l.start(i) >= after || after < l.floor {
			break
		}
		n.epochs = append(n.epochs, epoch{e.number, min(e.last, after)})
	}
	if after == 0 || after < l.floor { // nothing of it is left
		n.epochs, n.floor = nil, 0
	}
	n.epochs = append(n.epochs, epoch{number, math.MaxUint64})
	n.bound()
	return n
}

// bound removes epochs until at most maxEpochs are listed: first those that contain only their
// marker, which then counts as part of the previous epoch; then the oldest.
func (l *Lineage) bound() {
	for i := 1; len(l.epochs) > maxEpochs && i < len(l.epochs)-1; {
		if l.epochs[i].last-l.start(i) > 1 {
			i++
			continue
		}
		l.epochs[i-1].last = l.epochs[i].last
		l.epochs = slices.Delete(l.epochs, i, i+1)
	}
	for len(l.epochs) > maxEpochs {
		l.floor = l.epochs[0].last
		l.epochs = slices.Delete(l.epochs, 0, 1)
	}
}

// equal reports whether every sequence has the same epoch in two lineages.
func (l *Lineage) equal(other *Lineage) bool {
	return l.floor == other.floor && slices.Equal(l.epochs, other.epochs)
}

// A markerJSON is the body of a marker:
//
//	{"version":1,"epoch":"k3f9…","earlier":[{"epoch":"k3f8…","last":1041}]}
type markerJSON struct {
	Version int           `json:"version"`
	Epoch   string        `json:"epoch"`             // the newest, in base 36 as in ids
	Floor   uint64        `json:"floor,omitempty"`   // last sequence of those that are no longer listed
	Earlier []earlierJSON `json:"earlier,omitempty"` // the oldest first
	Lost    bool          `json:"lost,omitempty"`    // events before the marker can be lost
}

type earlierJSON struct {
	Epoch string `json:"epoch"`
	Last  uint64 `json:"last"` // sequence
}

// markerVersion is the version of the format of markers. A node refuses a later version: it
// cannot know which ids are valid.
const markerVersion = 1

// appendMarker appends the body of the lineage's marker.
func (l *Lineage) appendMarker(dst []byte) []byte {
	m := markerJSON{Version: markerVersion, Epoch: formatEpoch(l.Epoch()), Floor: l.floor, Lost: l.lost}
	for _, e := range l.epochs[:len(l.epochs)-1] {
		m.Earlier = append(m.Earlier, earlierJSON{formatEpoch(e.number), e.last})
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic("BUG: a marker does not marshal: " + err.Error())
	}
	return append(dst, b...)
}

// formatEpoch returns an epoch as it is in ids: in base 36.
func formatEpoch(n uint64) string { return strconv.FormatUint(n, 36) }

var errMarker = errors.New("not an epoch marker")

// errMarkerVersion says that a later version of gatecast wrote a marker.
var errMarkerVersion = errors.New("a later version of gatecast has begun an epoch in it; start that version")

// parseMarker returns the lineage in the marker at a sequence.
func parseMarker(body []byte, seq uint64) (*Lineage, error) {
	var m markerJSON
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMarker, err)
	}
	if m.Version > markerVersion {
		return nil, errMarkerVersion
	}
	l := &Lineage{floor: m.Floor, marker: seq, lost: m.Lost}
	for i, e := range append(m.Earlier, earlierJSON{m.Epoch, math.MaxUint64}) {
		number, err := strconv.ParseUint(e.Epoch, 36, 64)
		if err != nil || number == 0 || l.find(number) >= 0 {
			return nil, fmt.Errorf("%w: epoch %q", errMarker, e.Epoch)
		}
		if i > 0 && e.Last <= l.epochs[i-1].last || e.Last < l.floor || e.Last >= seq && e.Last != math.MaxUint64 {
			return nil, fmt.Errorf("%w: epoch %q ends at %d", errMarker, e.Epoch, e.Last)
		}
		l.epochs = append(l.epochs, epoch{number, e.Last})
	}
	if m.Version < 1 || len(l.epochs) > maxEpochs {
		return nil, errMarker
	}
	return l, nil
}

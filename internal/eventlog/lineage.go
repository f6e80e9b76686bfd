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

// A Lineage says which epoch each sequence of a stream belongs to, in the history that
// the stream has now. Epochs follow each other without a gap: each begins after the last
// sequence of the one before.
//
// A position (epoch, sequence) stands for something in this history if and only if the
// sequence lies in that epoch's range. When a stream goes back (a backup is restored, a
// server loses its newest writes), the epoch that was current ends at the last sequence
// that is known to be common to both histories, and a new epoch begins after it. So a
// sequence that is given out a second time has another epoch the second time.
//
// A Lineage does not change. Any goroutine may use it.
type Lineage struct {
	// epochs are in order, the oldest first; there is always one. The newest has no last
	// sequence yet: math.MaxUint64.
	epochs []epoch
	// floor is the last sequence of the epochs that were dropped from the list. What
	// stands up to there has no id any more, and counts as not retained.
	floor uint64

	// lost says that events may have been lost before the marker. It is the marker's only,
	// not that of its lineage when it is appended again.
	lost bool
	// marker is the sequence of the message that the lineage was read from, 0 for none.
	marker uint64
	// branch counts how often this process has seen the history go back. Sequences of
	// one branch compare; those of different branches do not.
	branch uint64
}

// An epoch is one part of a history.
type epoch struct {
	number uint64
	last   uint64 // sequence
}

// maxEpochs bounds the list in a marker, which must fit into any server's max_payload.
const maxEpochs = 1000

// firstEpoch returns the lineage of a stream without a marker.
func firstEpoch(number uint64) *Lineage {
	return &Lineage{epochs: []epoch{{number, math.MaxUint64}}}
}

// newEpoch returns a number for an epoch that follows another one. It grows with time,
// and has 20 random bits, so that two copies of a history that go on at the same
// millisecond do not choose the same.
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

// find returns the index of an epoch, -1 when it is none of this history's.
func (l *Lineage) find(number uint64) int {
	return slices.IndexFunc(l.epochs, func(e epoch) bool { return e.number == number })
}

// Contains reports whether a position is one of this history's. It does not know how
// far the stream has come.
func (l *Lineage) Contains(c event.Cursor) bool {
	i := l.find(c.Epoch)
	if i < 0 || c.Seq > l.epochs[i].last {
		return false
	}
	return c.Seq > l.start(i) || i == 0 && c.Seq == l.floor
}

// Clamp returns the sequence of a position, or, when the history went back to before it,
// the sequence it went back to. It reports false for an epoch that is unknown.
func (l *Lineage) Clamp(c event.Cursor) (seq uint64, ok bool) {
	i := l.find(c.Epoch)
	if i < 0 {
		return 0, false
	}
	return min(c.Seq, l.epochs[i].last), true
}

// Barrier returns the sequence up to which everything in this history is from before a
// position was taken, or may be. When the history went back to before the position, that
// is where it went back to: what comes after is new. The numbers of epochs grow with time:
// an epoch that is not listed any more, or was lost, ended before the next higher one
// began. One that is higher than all is one that this node has not come to yet.
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

// Common returns the last sequence up to which both histories name every sequence alike:
// math.MaxUint64 when they do everywhere.
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
	if newest := len(l.epochs) - 1; seq > l.start(newest) { // as nearly always
		return newest
	}
	i, _ := slices.BinarySearchFunc(l.epochs, seq, func(e epoch, seq uint64) int { return cmp.Compare(e.last, seq) })
	return i
}

// next returns the lineage in which an epoch begins after a sequence. What stood after
// it before is no longer part of the history.
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

// bound drops epochs until no more than maxEpochs are listed: first those that have
// nothing but their marker, which is then counted to the epoch before; then the oldest.
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

// equal reports whether two lineages name every sequence alike.
func (l *Lineage) equal(other *Lineage) bool {
	return l.floor == other.floor && slices.Equal(l.epochs, other.epochs)
}

// A markerJSON is the body of a marker:
//
//	{"version":1,"epoch":"k3f9…","earlier":[{"epoch":"k3f8…","last":1041}]}
type markerJSON struct {
	Version int           `json:"version"`
	Epoch   string        `json:"epoch"`             // the newest, as it stands in ids
	Floor   uint64        `json:"floor,omitempty"`   // last sequence of those not listed any more
	Earlier []earlierJSON `json:"earlier,omitempty"` // the oldest first
	Lost    bool          `json:"lost,omitempty"`    // events may have been lost before the marker
}

type earlierJSON struct {
	Epoch string `json:"epoch"`
	Last  uint64 `json:"last"` // sequence
}

// markerVersion is the version of the form of markers. A node refuses one of a later
// version: it cannot know which ids are right.
const markerVersion = 1

// appendMarker appends the marker that the lineage is read from.
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

func formatEpoch(n uint64) string { return strconv.FormatUint(n, 36) }

var errMarker = errors.New("not a marker of an epoch")

// errMarkerVersion says that a marker comes from a later version of gatecast.
var errMarkerVersion = errors.New("a later version of gatecast has begun an epoch in it; start that version")

// parseMarker returns the lineage that a marker at a sequence says.
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

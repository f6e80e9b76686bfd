// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// FormatVersion is the version of nats-server whose files this package was checked with. The
// format of blocks and descriptions is private to nats-server and can change in any version.
const FormatVersion = "v2.15.2"

// JetStream stores a stream's messages in files N.blk, one record after the other:
//
//	length      uint32  of the whole record; the top bit is set if it has a header
//	sequence    uint64  the top bits are set if the record marks a removal
//	time        int64
//	subject     uint16  length of the subject
//	            the subject; the length of the header and the header, if any; the data
//	checksum    uint64  of sequence, time, subject, header and data
const (
	recordHead    = 22
	recordSum     = 8
	recordHeader  = 1 << 31
	recordMarks   = 3 << 62
	maxRecord     = 32 << 20
	maxRecordSeq  = 1 << 48 // more than any stream reaches
	headerLenSize = 4
)

// newSum returns the checksum whose key is derived from a name. The key is not a secret.
func newSum(name string) hash.Hash64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		panic("BUG: a key of the checksum: " + err.Error())
	}
	return h
}

// A span is the part [from, to) of a block's file in which every record is good.
type span struct {
	from, to    int
	records     int
	first, last uint64 // sequences
}

// goodSpans returns where the good records of a block are. After a damaged record it
// tries every byte offset until it finds a good one.
func goodSpans(stream string, index int, b []byte) (spans []span) {
	sum := newSum(fmt.Sprintf("%s-%d", stream, index))
	for at := 0; at < len(b); {
		n, seq := readRecord(b[at:], sum)
		switch last := len(spans) - 1; {
		case n == 0:
			at++
			continue
		case last >= 0 && spans[last].to == at:
			s := &spans[last]
			s.to, s.records, s.last = at+n, s.records+1, max(s.last, seq)
		default:
			spans = append(spans, span{from: at, to: at + n, records: 1, first: seq, last: seq})
		}
		at += n
	}
	return spans
}

// recordSubject returns the length and the subject of the good record at the start of b.
// A record that marks a removal has no subject.
func recordSubject(b []byte) (n int, subject []byte) {
	n = int(binary.LittleEndian.Uint32(b) &^ recordHeader)
	return n, b[recordHead : recordHead+int(binary.LittleEndian.Uint16(b[20:]))]
}

// readRecord returns the length and the sequence of the good record at the start of b, or
// zero when there is none.
func readRecord(b []byte, sum hash.Hash64) (n int, seq uint64) {
	if len(b) < recordHead+recordSum {
		return 0, 0
	}
	length := binary.LittleEndian.Uint32(b)
	seq = binary.LittleEndian.Uint64(b[4:]) &^ recordMarks
	n = int(length &^ recordHeader)
	body := recordHead + int(binary.LittleEndian.Uint16(b[20:])) // where it begins
	rest := body
	if length&recordHeader != 0 {
		rest += headerLenSize
	}
	if n > min(len(b), maxRecord) || rest > n-recordSum || seq >= maxRecordSeq {
		return 0, 0
	}
	sum.Reset()
	_, _ = sum.Write(b[4:20])
	_, _ = sum.Write(b[recordHead:body])
	_, _ = sum.Write(b[rest : n-recordSum])
	if sum.Sum64() != binary.LittleEndian.Uint64(b[n-recordSum:]) {
		return 0, 0
	}
	return n, seq
}

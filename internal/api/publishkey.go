// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// The header with the idempotency key, and the longest key in bytes.
const (
	headerIdempotencyKey = "Idempotency-Key"
	maxIdempotencyKey    = 128
)

// A publishKey is the idempotency key of a request, together with the digest of
// its admin token: each token has its own keys. The zero value means no key.
type publishKey struct {
	caller [sha256.Size]byte // SHA-256 of the admin token
	key    string            // the header's value; empty: no key
}

// publishKeyOf returns the key of a request. Every header value of 1 to
// maxIdempotencyKey bytes is a key.
func publishKeyOf(ctx *fasthttp.RequestCtx) (publishKey, error) {
	all := ctx.Request.Header.PeekAll(headerIdempotencyKey)
	if len(all) == 0 {
		return publishKey{}, nil
	}
	key := all[0]
	if len(all) > 1 || len(key) == 0 || len(key) > maxIdempotencyKey {
		p := problemf(fasthttp.StatusBadRequest, codeBadRequest,
			"header %s: want one value of 1 to %d bytes", headerIdempotencyKey, maxIdempotencyKey)
		p.field = headerIdempotencyKey
		return publishKey{}, p
	}
	token, _ := bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	return publishKey{sha256.Sum256(token), string(key)}, nil
}

// Kinds of publishes, which have separate keys. Stored in the log: the values
// must not change.
const (
	keyOfSingle = 's'
	keyOfLine   = 'l' // one line of a bulk publish
)

// single returns the key under which the log stores a publish of one event;
// empty for none.
func (k publishKey) single() string { return k.name(keyOfSingle, 0) }

// line returns the key under which the log stores a line of a bulk publish;
// empty for none. It depends on the line's number, so repeating the same
// request repeats each of its keys.
func (k publishKey) line(number int) string { return k.name(keyOfLine, number) }

// name returns a digest of kind, line, caller and key. Its length is fixed, and
// a reader of the log cannot learn an admin token from it. Everything before
// the key has a fixed length, so different inputs never look the same.
func (k publishKey) name(kind byte, line int) string {
	if k.key == "" {
		return ""
	}
	// caller (32 bytes), kind (1), line (8), then the key.
	var prefix [sha256.Size + 9]byte
	copy(prefix[:], k.caller[:])
	prefix[sha256.Size] = kind
	binary.BigEndian.PutUint64(prefix[sha256.Size+1:], uint64(line))
	d := sha256.Sum256(append(prefix[:], k.key...))
	return base64.RawURLEncoding.EncodeToString(d[:])
}

// digestBytes is how many bytes of the digest of a text are kept.
const digestBytes = 18

// digestOf returns a digest of what a publisher sent. It distinguishes a repeat from
// another publish with the same key.
func digestOf(text []byte) string {
	d := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(d[:digestBytes])
}

// check returns nil if digest is that of the first publish, else the problem to
// answer with.
func (k *keyedReceipt) check(digest string) error {
	if k.digest == digest {
		return nil
	}
	p := problemf(fasthttp.StatusUnprocessableEntity, codeInvalidEvent,
		"header %s: this key was used less than two minutes ago for event %v, which has another body; use a new key for each event",
		headerIdempotencyKey, k.id)
	p.field = headerIdempotencyKey
	return p
}

// encodeLogged returns what the log stores with the event for duplicates:
// "TARGETS CONNECTED DIGEST". The rest of the receipt is in the event. The
// format is stored data: it must not change.
func (r *receipt) encodeLogged(digest string) string {
	return strconv.Itoa(r.targets) + " " + strconv.Itoa(r.connected) + " " + digest
}

var errReceipt = errors.New("not a receipt: want TARGETS CONNECTED DIGEST")

// decodeLogged parses the text of encodeLogged. On an error k is unchanged.
func (k *keyedReceipt) decodeLogged(text string) error {
	fields := strings.Split(text, " ")
	if len(fields) != 3 || len(fields[2]) != base64.RawURLEncoding.EncodedLen(digestBytes) {
		return errReceipt
	}
	targets, err := strconv.Atoi(fields[0])
	connected, err2 := strconv.Atoi(fields[1])
	if err != nil || err2 != nil || connected < 0 || targets < connected {
		return errReceipt
	}
	k.targets, k.connected, k.digest = targets, connected, fields[2]
	return nil
}

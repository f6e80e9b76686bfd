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

const (
	headerIdempotencyKey = "Idempotency-Key"
	maxIdempotencyKey    = 128 // bytes
)

// A publishKey is the idempotency key of a request, and whose it is: of two admin
// tokens, each has keys of its own. The zero publishKey is none.
type publishKey struct {
	caller [sha256.Size]byte // digest of the admin token
	key    string            // as the header has it; empty for none
}

// publishKeyOf returns the request's key. Any value that a header can have is one.
func publishKeyOf(ctx *fasthttp.RequestCtx) (publishKey, error) {
	all := ctx.Request.Header.PeekAll(headerIdempotencyKey)
	if len(all) == 0 {
		return publishKey{}, nil
	}
	key := all[0]
	if len(all) > 1 || len(key) == 0 || len(key) > maxIdempotencyKey {
		p := problemf(fasthttp.StatusBadRequest, codeBadRequest,
			"header %s: want it once, with 1 to %d bytes", headerIdempotencyKey, maxIdempotencyKey)
		p.field = headerIdempotencyKey
		return publishKey{}, p
	}
	token, _ := bearer(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	return publishKey{sha256.Sum256(token), string(key)}, nil
}

// Publishes of a key, as the log tells them apart.
const (
	keyOfSingle = 's'
	keyOfLine   = 'l' // of a bulk publish
)

// single returns the name under which the log knows a publish of one event; empty for
// none.
func (k publishKey) single() string { return k.name(keyOfSingle, 0) }

// line returns the name under which the log knows a line of a bulk publish; empty for
// none. When the same lines are published again with the same key, each is the same
// as before.
func (k publishKey) line(number int) string { return k.name(keyOfLine, number) }

// name is a digest: of a fixed length whatever the key, and nobody who reads the log
// learns an admin token from it. What stands before the key has a fixed length too, so
// no two publishes have one name.
func (k publishKey) name(kind byte, line int) string {
	if k.key == "" {
		return ""
	}
	var prefix [sha256.Size + 9]byte
	copy(prefix[:], k.caller[:])
	prefix[sha256.Size] = kind
	binary.BigEndian.PutUint64(prefix[sha256.Size+1:], uint64(line))
	d := sha256.Sum256(append(prefix[:], k.key...))
	return base64.RawURLEncoding.EncodeToString(d[:])
}

// digestBytes is how much of the digest of a text is kept.
const digestBytes = 18

// digestOf returns a digest of what a publisher sent, by which a repeat is told from
// another publish with the same key.
func digestOf(text []byte) string {
	d := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(d[:digestBytes])
}

// check returns the problem with a repeat whose text has another digest; nil for none.
func (k *keyedReceipt) check(digest string) error {
	if k.digest == digest {
		return nil
	}
	p := problemf(fasthttp.StatusUnprocessableEntity, codeInvalidEvent,
		"header %s: the key was used for a publish with another body, event %v, less than two minutes ago; use a new key for another event",
		headerIdempotencyKey, k.id)
	p.field = headerIdempotencyKey
	return p
}

// keep returns what the log keeps with the event, for its repeats: TARGETS CONNECTED
// DIGEST. The rest of the receipt stands in the event.
func (r *receipt) encodeLogged(digest string) string {
	return strconv.Itoa(r.targets) + " " + strconv.Itoa(r.connected) + " " + digest
}

var errReceipt = errors.New("not a receipt: want TARGETS CONNECTED DIGEST")

// read reads what keep returned. On an error k is as it was.
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

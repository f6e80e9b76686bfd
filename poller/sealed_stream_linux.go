// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import "golang.org/x/sys/unix"

// A sealedStream is what streams with TLS have in common. A record that is sealed
// must be sent as it is, however little of it the socket takes.
type sealedStream struct {
	plain
	unsent []byte // sealed, refused by the socket; nil when it took all
}

// write calls seal for the next few records, which it appends to the loop's
// cipherBuf, and sends them with one system call; it repeats this while the socket
// takes everything. seal returns how many bytes of plaintext it took.
func (t *sealedStream) write(vec [][]byte, seal func(*chunker) (int, error)) (n int, err error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	// The chunker is the loop's: one on the stack would escape through seal.
	chunk := &t.loop.chunk
	*chunk = chunker{vec: vec}
	defer func() { *chunk = chunker{} }() // keeps no frames alive
	for len(t.unsent) == 0 {
		m, err := seal(chunk)
		if err != nil {
			t.loop.cipherBuf = t.loop.cipherBuf[:0]
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
		if err := t.flush(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// flush sends what the socket refused before, then cipherBuf. It keeps what the
// socket refuses now, and arms the stream for it.
func (t *sealedStream) flush() error {
	sealed := t.loop.cipherBuf
	defer func() { t.loop.cipherBuf = t.loop.cipherBuf[:0] }()
	if len(t.unsent) > 0 {
		t.unsent = append(t.unsent, sealed...) // at the end, to keep the order
		n, err := t.send(t.unsent)
		if err != nil {
			return err
		}
		if t.unsent = t.unsent[n:]; len(t.unsent) == 0 {
			t.unsent = nil
		}
		return t.arm(len(t.unsent) > 0)
	}
	if len(sealed) == 0 {
		return t.arm(false)
	}
	n, err := t.send(sealed)
	if err != nil {
		return err
	}
	if n < len(sealed) {
		t.unsent = append([]byte(nil), sealed[n:]...)
	}
	return t.arm(n < len(sealed))
}

// send writes b with one system call and returns how many bytes the socket took.
func (t *sealedStream) send(b []byte) (int, error) {
	n, err := ignoringEINTR(func() (int, error) { return unix.Write(int(t.fd), b) })
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(n, 0), err
}

func (t *sealedStream) Unsent() int { return len(t.unsent) }

// A chunker cuts a vector of slices into chunks of plaintext.
type chunker struct {
	vec [][]byte
	off int // into vec[0]
}

// empty reports whether nothing is left.
func (c *chunker) empty() bool {
	for len(c.vec) > 0 && c.off == len(c.vec[0]) {
		c.vec, c.off = c.vec[1:], 0
	}
	return len(c.vec) == 0
}

// next appends the next chunk, of at most size bytes, to dst.
func (c *chunker) next(dst []byte, size int) []byte {
	for end := len(dst) + size; !c.empty() && len(dst) < end; {
		b := c.vec[0][c.off:]
		b = b[:min(len(b), end-len(dst))]
		dst = append(dst, b...)
		c.off += len(b)
	}
	return dst
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"testing"
	"unsafe"
)

// memory returns the bytes that a value itself has, whatever its fields are.
func memory[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// secretsOf returns the beginnings of what a half must not leave in memory.
func secretsOf(h *half) map[string][]byte {
	return map[string][]byte{
		"secret": bytes.Clone(h.secret[:8]),
		"key":    bytes.Clone(h.key[:8]),
		"IV":     bytes.Clone(h.iv[:8]),
	}
}

func TestWipe(t *testing.T) {
	eachSuite(t, func(t *testing.T, e *ends) {
		e.hears(t, e.data("data"), "data", nil)
		e.reads(t, e.seals(t, "data"), 23, "data")
		halves := map[string]map[string][]byte{"client": secretsOf(&e.in), "server": secretsOf(&e.out)}
		for who, secrets := range halves {
			for name, b := range secrets {
				if !bytes.Contains(memory(e.Session), b) {
					t.Fatalf("the %s's %s is not in the session; the test shows nothing", who, name)
				}
			}
		}
		e.Wipe()
		for who, secrets := range halves {
			for name, b := range secrets {
				if bytes.Contains(memory(e.Session), b) {
					t.Errorf("the %s's %s is still there", who, name)
				}
			}
		}
		if e.in.aead != nil || e.out.aead != nil {
			t.Error("an expanded key is still there")
		}
		e.hears(t, e.data("late"), "", ErrClosed)
		e.sealsNothing(t)
	})
}

// Wiping keeps the reason why a session has ended.
func TestWipeAfterAnError(t *testing.T) {
	e := newEnds(0)
	e.hears(t, []byte("GET / HTTP/1.1"), "", UnexpectedMessage)
	e.Wipe()
	if e.Err() != UnexpectedMessage {
		t.Errorf("Err = %v", e.Err())
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import "encoding/binary"

// A recordReader gives crypto/tls what arrives one TLS record at a time, and never
// a byte of the next record: what follows the handshake's last record is not for
// crypto/tls.
type recordReader struct {
	arrived []byte // and not given to crypto/tls
	missing int    // bytes of the current record that crypto/tls was not given
}

const (
	// recordRead is how many bytes are read at once: a ClientHello with a
	// post-quantum key share fits.
	recordRead = 2 << 10
	// recordHeader is the size of type, version and length (RFC 8446 section 5.1).
	recordHeader = 5
)

// read returns bytes of the current record, or of the next one at its end.
func (r *recordReader) read(w *wire, b []byte) (int, error) {
	for len(r.arrived) == 0 || r.missing == 0 && len(r.arrived) < recordHeader {
		if err := r.fill(w); err != nil {
			return 0, err
		}
	}
	if r.missing == 0 {
		r.missing = recordHeader + int(binary.BigEndian.Uint16(r.arrived[3:]))
	}
	n := copy(b, r.arrived[:min(r.missing, len(r.arrived))])
	r.arrived = r.arrived[n:]
	r.missing -= n
	return n, nil
}

// fill reads from the socket once.
func (r *recordReader) fill(w *wire) error {
	b := make([]byte, len(r.arrived)+recordRead)
	have := copy(b, r.arrived)
	n, err := w.readSocket(b[have:])
	r.arrived = b[:have+n]
	if n > 0 {
		return nil
	}
	return err
}

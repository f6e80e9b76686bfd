// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package poller

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"testing"

	"github.com/gatecast/gatecast/test/testenv"
)

// A handmade client has crypto/tls do its handshake, and seals and opens its
// records itself: it can send what crypto/tls does not.
type handmade struct {
	net.Conn // the socket
	testenv.Records
}

// Write writes to the socket.
func (h *handmade) Write(b []byte) (int, error) { return h.Conn.Write(b) }

// handmake returns a connection after its handshake, and a handmade far end.
func handmake(t *testing.T) (*handmade, *Conn) {
	t.Helper()
	h := new(handmade)
	only(t, tls.TLS_AES_128_GCM_SHA256)
	c, far := shake(t, ownRecords, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &h.Records})
	h.Conn = far.(*tls.Conn).NetConn()
	return h, c
}

// receive reads a record, and follows the server's key updates.
func (h *handmade) receive(t *testing.T) (contentType byte, content []byte) {
	t.Helper()
	header := readN(t, h, 5)
	contentType, content, err := h.Open(header, readN(t, h, int(binary.BigEndian.Uint16(header[3:]))))
	if err != nil {
		t.Fatal(err)
	}
	return contentType, content
}

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

// A rawTLSClient does its handshake by crypto/tls, and seals and opens its records
// itself: so it can send what crypto/tls does not.
type rawTLSClient struct {
	net.Conn // the socket
	testenv.Records
}

// Write writes to the socket.
func (h *rawTLSClient) Write(b []byte) (int, error) { return h.Conn.Write(b) }

// dialRawTLS returns a connection after its handshake, and its client.
func dialRawTLS(t *testing.T) (*rawTLSClient, *Conn) {
	t.Helper()
	h := new(rawTLSClient)
	only(t, tls.TLS_AES_128_GCM_SHA256)
	c, far := shake(t, ownRecords, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &h.Records})
	h.Conn = far.(*tls.Conn).NetConn()
	return h, c
}

// receive reads a record and applies the server's key updates.
func (h *rawTLSClient) receive(t *testing.T) (contentType byte, content []byte) {
	t.Helper()
	header := readN(t, h, 5)
	contentType, content, err := h.Open(header, readN(t, h, int(binary.BigEndian.Uint16(header[3:]))))
	if err != nil {
		t.Fatal(err)
	}
	return contentType, content
}

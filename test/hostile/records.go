// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/test/testenv"
)

// Attacks in the TLS 1.3 records of a connected gateway.
var inRecords = []Attack{
	{Name: "flood of key updates", Peers: 20, once: sealing(func(r *recordConn) {
		pour(r.tcp, func() []byte { return r.KeyUpdate(1) })
	})},
	{Name: "key updates with pongs between", Peers: 20, once: sealing(func(r *recordConn) {
		pong := masked(frame.OpPong, nil)
		r.pour(func() []byte { return append(r.KeyUpdate(1), r.Seal(testenv.RecordData, pong)...) })
	})},
	{Name: "pongs in a record each", Peers: 20, once: sealing(func(r *recordConn) {
		pong := masked(frame.OpPong, nil)
		r.pour(func() []byte { return r.Seal(testenv.RecordData, pong) })
	})},
	{Name: "records without data", Peers: 20, once: sealing(func(r *recordConn) {
		r.pour(func() []byte { return r.Seal(testenv.RecordData, nil) })
	})},
	{Name: "record that is too long", Peers: 20, once: sealing(func(r *recordConn) {
		_, _ = r.tcp.Write([]byte{testenv.RecordData, 3, 3, 0xff, 0xff})
	})},
	{Name: "record cut off", Peers: 20, once: sealing(func(r *recordConn) {
		_, _ = r.tcp.Write(r.Seal(testenv.RecordData, make([]byte, 1000))[:500])
		_ = r.tcp.CloseWrite()
	})},
	{Name: "record forged", Peers: 20, once: sealing(func(r *recordConn) {
		record := r.Seal(testenv.RecordData, make([]byte, 1000))
		record[500] ^= 1
		_, _ = r.tcp.Write(record)
	})},
	{Name: "another handshake in the connection", Peers: 20, once: sealing(func(r *recordConn) {
		_, _ = r.tcp.Write(r.Seal(testenv.RecordHandshake, clientHello(context.Background())[5:]))
	})},
}

// sealing returns an attack after the upgrade, by a peer that makes its own TLS records.
func sealing(do func(*recordConn)) func(context.Context, *peer) (Ending, error) {
	return func(ctx context.Context, p *peer) (Ending, error) {
		r := &recordConn{peer: p}
		c := tls.Client(p.tcp, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, KeyLogWriter: &r.Records})
		if err := c.HandshakeContext(ctx); err != nil {
			return "", err
		}
		if c.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			return "", errors.New("the server chose a cipher suite that these attacks do not support")
		}
		p.conn = r
		if err := p.upgrade(); err != nil {
			return "", err
		}
		return p.whileEnding(func() { do(r) }), nil
	}
}

// A recordConn is a connection whose records are made here and not by crypto/tls.
type recordConn struct {
	*peer
	testenv.Records
	plain []byte // decrypted and not yet read
}

// recordBatch is the approximate size of a write.
const recordBatch = 32 << 10

// pour writes what next returns, in large writes, until a write fails.
func (r *recordConn) pour(next func() []byte) {
	b := make([]byte, 0, 2*recordBatch)
	pour(r.tcp, func() []byte {
		for b = b[:0]; len(b) < recordBatch; {
			b = append(b, next()...)
		}
		return b
	})
}

// Write sends b in one record.
func (r *recordConn) Write(b []byte) (int, error) {
	if _, err := r.tcp.Write(r.Seal(testenv.RecordData, b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (r *recordConn) Read(b []byte) (int, error) {
	for len(r.plain) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// fill reads and decrypts the next record.
func (r *recordConn) fill() error {
	var header [5]byte
	if _, err := io.ReadFull(r.tcp, header[:]); err != nil {
		return err
	}
	fragment := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(r.tcp, fragment); err != nil {
		return err
	}
	contentType, content, err := r.Open(header[:], fragment)
	switch {
	case err != nil:
		return err
	case contentType == testenv.RecordAlert && content[1] == 0: // close_notify
		return io.EOF
	case contentType == testenv.RecordAlert:
		return alertError(content[1])
	case contentType == testenv.RecordData:
		r.plain = content
	}
	return nil
}

// alertError is an alert from the server.
type alertError byte

func (a alertError) Error() string { return tls.AlertError(a).Error() }

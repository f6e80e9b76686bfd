// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package tlsrecord

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"encoding/hex"
	"errors"
)

// A KeyLog takes the application traffic secrets from one handshake. It is the
// [tls.Config.KeyLogWriter] of a config for this connection only, with
// SessionTicketsDisabled: a ticket would be record 0. It holds the secrets until
// [KeyLog.Session] or [KeyLog.Wipe]. One goroutine uses it.
type KeyLog struct {
	client, server [maxSecretLen]byte
	clientLen      int
	serverLen      int
}

// Labels of the key log format of NSS (RFC 9850 section 2).
var (
	clientLabel = []byte("CLIENT_TRAFFIC_SECRET_0")
	serverLabel = []byte("SERVER_TRAFFIC_SECRET_0")
)

var errKeyLog = errors.New("tlsrecord: a line of the key log that cannot be read")

// Write implements [io.Writer]. It takes one line of the key log: label, client random,
// secret.
func (k *KeyLog) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return 0, errKeyLog
	}
	var err error
	switch {
	case bytes.Equal(fields[0], clientLabel):
		k.clientLen, err = decodeSecret(&k.client, fields[2])
	case bytes.Equal(fields[0], serverLabel):
		k.serverLen, err = decodeSecret(&k.server, fields[2])
	}
	if err != nil {
		return 0, err
	}
	return len(line), nil
}

// decodeSecret decodes a secret and returns its length in bytes.
func decodeSecret(dst *[maxSecretLen]byte, text []byte) (int, error) {
	if hex.DecodedLen(len(text)) > len(dst) {
		return 0, errKeyLog
	}
	n, err := hex.Decode(dst[:], text)
	if err != nil {
		return 0, errKeyLog // not the error of package hex, which quotes a byte of the secret
	}
	return n, nil
}

// ErrUnsupported is returned for a connection that crypto/tls must keep.
var ErrUnsupported = errors.New("tlsrecord: not TLS 1.3 with AES-GCM, or FIPS 140-3 mode")

// Session returns the session that continues after a handshake, and wipes the log.
func (k *KeyLog) Session(state tls.ConnectionState) (*Session, error) {
	defer k.Wipe()
	s := suiteOf(state.CipherSuite)
	// In FIPS 140-3 mode only crypto/tls can choose the nonces of GCM.
	if s == nil || state.Version != tls.VersionTLS13 || !state.HandshakeComplete || fips140.Enabled() {
		return nil, ErrUnsupported
	}
	if k.clientLen != s.secretLen || k.serverLen != s.secretLen {
		return nil, ErrUnsupported
	}
	return newSession(s, k.client[:s.secretLen], k.server[:s.secretLen]), nil
}

// Wipe overwrites the secrets.
func (k *KeyLog) Wipe() { *k = KeyLog{} }

// newSession returns the server's session: it opens with the client's secret.
func newSession(s *suite, client, server []byte) *Session {
	n := new(Session)
	n.in.init(s, client)
	n.out.init(s, server)
	return n
}

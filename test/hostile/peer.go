// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gatecast/gatecast/frame"
	"github.com/gatecast/gatecast/test/testenv"
)

// A Target is the gatecast that is attacked. Every attacker has the credentials of
// one gateway that is registered there.
type Target struct {
	Gateways  string `json:"gateways"` // host:port
	GatewayID string `json:"gatewayId"`
	Token     string `json:"token"`
	// Internal and AdminToken are the platform's, which publishes to that gateway.
	Internal   string `json:"internal"` // host:port
	AdminToken string `json:"adminToken"`
}

// Platform returns a client of the node's internal listener.
func (t Target) Platform() *testenv.Platform {
	return &testenv.Platform{URL: "http://" + t.Internal, Token: t.AdminToken}
}

// A peer is a hostile connection. One goroutine reads and one writes.
type peer struct {
	target Target
	tcp    *net.TCPConn
	conn   io.ReadWriter // of the application's bytes
	behind []byte        // read, and not looked at
	live   bool          // it was upgraded
}

func dial(ctx context.Context, t Target) (*peer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Gateways)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	return &peer{target: t, tcp: tcp, conn: tcp}, nil
}

// hangUp resets the connection, which leaves no port in TIME_WAIT.
func (p *peer) hangUp() {
	_ = p.tcp.SetLinger(0)
	_ = p.tcp.Close()
}

// secure does the TLS handshake.
func (p *peer) secure(ctx context.Context) error {
	c := tls.Client(p.tcp, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	p.conn = c
	return nil
}

// connectPath is the route of the upgrade.
const connectPath = "/api/internal/v1/ws/gateways/connect"

// upgradeRequest asks for an upgrade, with the key of RFC 6455 section 1.3.
func upgradeRequest(token string) string {
	return "GET " + connectPath + " HTTP/1.1\r\nHost: gatecast\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\napi-key: " + token + "\r\n\r\n"
}

// upgrade becomes a gateway's connection.
func (p *peer) upgrade() error {
	if _, err := io.WriteString(p.conn, upgradeRequest(p.target.Token)); err != nil {
		return err
	}
	var got []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := p.conn.Read(buf)
		got = append(got, buf[:n]...)
		head, behind, whole := bytes.Cut(got, []byte("\r\n\r\n"))
		switch {
		case whole && bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")):
			p.live, p.behind = true, behind
			return nil
		case whole:
			return fmt.Errorf("not upgraded: %.100q", head)
		case err != nil:
			return err
		}
	}
}

// An Ending is how a connection ended, in the attacker's eyes.
type Ending string

// Endings that have no number.
const (
	// Gone is an end without a word: an end of file, or a reset.
	Gone Ending = "gone"
	// Stopped is the attack's own end.
	Stopped Ending = "stopped"
)

// Answered is an ending by an answer of HTTP.
func Answered(status int) Ending { return Ending("HTTP " + strconv.Itoa(status)) }

// Closed is an ending by a WebSocket close frame.
func Closed(code frame.CloseCode) Ending { return Ending(fmt.Sprint("close ", code)) }

// Alerted is an ending by a TLS alert, named as crypto/tls names it.
func Alerted(name string) Ending { return Ending("alert " + name) }

// end reads to the end, and says how it was.
func (p *peer) end() Ending {
	var (
		how     = Gone
		decoder = frame.Decoder{FromServer: true}
		buf     = make([]byte, 16<<10)
		b       = p.behind
		head    []byte
		err     error
	)
	for {
		if p.live {
			if code, ok := closeIn(&decoder, b); ok {
				how = Closed(code)
			}
		} else if head = append(head, b...); len(head) >= len("HTTP/1.1 400") && how == Gone {
			how = statusIn(head)
		}
		if err != nil {
			break
		}
		var n int
		n, err = p.conn.Read(buf)
		b = buf[:n]
	}
	if how == Gone {
		how = endingOf(err)
	}
	return how
}

func closeIn(d *frame.Decoder, b []byte) (frame.CloseCode, bool) {
	const max = 1 << 20
	for len(b) > 0 {
		m, n, err := d.Next(b, max)
		if err != nil {
			return 0, false
		}
		if m.Op == frame.OpClose {
			code, _ := frame.ParseClose(m.Payload)
			return code, true
		}
		b = b[n:]
	}
	return 0, false
}

func statusIn(head []byte) Ending {
	rest, ok := bytes.CutPrefix(head, []byte("HTTP/1.1 "))
	if !ok {
		return Gone
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil {
		return Gone
	}
	return Answered(status)
}

// endingOf names an error of a read.
func endingOf(err error) Ending {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return Alerted(strings.TrimPrefix(op.Err.Error(), "tls: "))
	}
	if a, ok := errors.AsType[alertError](err); ok {
		return Alerted(strings.TrimPrefix(a.Error(), "tls: "))
	}
	if errors.Is(err, net.ErrClosed) {
		return Stopped
	}
	return Gone
}

// whileEnding does something while it reads to the end, and says how that was.
func (p *peer) whileEnding(do func()) Ending {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	how := p.end()
	p.hangUp()
	<-done
	return how
}

// trickleEvery is the pace of who is slow: well within any timeout on idleness.
const trickleEvery = 250 * time.Millisecond

// trickle writes byte by byte, slowly, until it can no longer.
func trickle(w io.Writer, b []byte) {
	every := time.NewTicker(trickleEvery)
	defer every.Stop()
	for i := range b {
		if _, err := w.Write(b[i : i+1]); err != nil {
			return
		}
		<-every.C
	}
}

// pour writes what next returns, again and again, until it can no longer.
func pour(w io.Writer, next func() []byte) {
	for {
		if _, err := w.Write(next()); err != nil {
			return
		}
	}
}

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

// A Target is the node under attack. Every attacker has the credentials of one registered gateway.
type Target struct {
	Gateways  string `json:"gateways"` // host:port
	GatewayID string `json:"gatewayId"`
	Token     string `json:"token"`
	// Internal and AdminToken are for publishing to that gateway.
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
	conn   io.ReadWriter // application data
	early  []byte        // bytes after the response to the upgrade
	live   bool          // the upgrade is done
}

func dial(ctx context.Context, t Target) (*peer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Gateways)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	return &peer{target: t, tcp: tcp, conn: tcp}, nil
}

// reset closes the connection with RST, which leaves no port in TIME_WAIT.
func (p *peer) reset() {
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

// connectPath is the path of the connect route.
const connectPath = "/api/internal/v1/ws/gateways/connect"

// upgradeRequest returns an upgrade request, with the key of RFC 6455 section 1.3.
func upgradeRequest(token string) string {
	return "GET " + connectPath + " HTTP/1.1\r\nHost: gatecast\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\napi-key: " + token + "\r\n\r\n"
}

// upgrade upgrades the connection.
func (p *peer) upgrade() error {
	if _, err := io.WriteString(p.conn, upgradeRequest(p.target.Token)); err != nil {
		return err
	}
	var got []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := p.conn.Read(buf)
		got = append(got, buf[:n]...)
		head, early, whole := bytes.Cut(got, []byte("\r\n\r\n"))
		switch {
		case whole && bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")):
			p.live, p.early = true, early
			return nil
		case whole:
			return fmt.Errorf("not upgraded: %.100q", head)
		case err != nil:
			return err
		}
	}
}

// An Ending is how a connection ended for the attacker.
type Ending string

// Endings without a code.
const (
	// Gone is a connection that ended with EOF or a reset.
	Gone Ending = "gone"
	// Stopped is a connection that the attacker ended.
	Stopped Ending = "stopped"
)

// Answered is an ending with an HTTP response.
func Answered(status int) Ending { return Ending("HTTP " + strconv.Itoa(status)) }

// Closed is an ending with a WebSocket close frame.
func Closed(code frame.CloseCode) Ending { return Ending(fmt.Sprint("close ", code)) }

// Alerted is an ending with a TLS alert, with the name that crypto/tls uses.
func Alerted(name string) Ending { return Ending("alert " + name) }

// end reads until the connection ends, and returns how.
func (p *peer) end() Ending {
	var (
		how     = Gone
		decoder = frame.Decoder{FromServer: true}
		buf     = make([]byte, 16<<10)
		b       = p.early
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

// endingOf returns the ending for an error of a read.
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

// whileEnding calls do while it reads until the connection ends, and returns how it ended.
func (p *peer) whileEnding(do func()) Ending {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	how := p.end()
	p.reset()
	<-done
	return how
}

// trickleEvery is the interval of a slow writer, much shorter than any idle timeout.
const trickleEvery = 250 * time.Millisecond

// trickle writes byte by byte, slowly, until a write fails.
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

// pour writes what next returns, again and again, until a write fails.
func pour(w io.Writer, next func() []byte) {
	for {
		if _, err := w.Write(next()); err != nil {
			return
		}
	}
}

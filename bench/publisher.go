// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gatecast/gatecast/internal/event"
)

// A publisher publishes events one after the other over one keep-alive connection. It writes its
// requests itself: the client of net/http passes each request through two goroutines, and that time
// would be measured as the server's.
type publisher struct {
	conn  net.Conn
	in    *bufio.Reader
	head  []byte // start of each request, up to the value of Content-Length
	draft []byte
	out   []byte
	body  bytes.Buffer // of the last response
}

func dialPublisher(ctx context.Context, t Target) (*publisher, error) {
	conn, err := dialInternal(ctx, t)
	if err != nil {
		return nil, err
	}
	return &publisher{
		conn: conn,
		in:   bufio.NewReader(conn),
		head: []byte("POST " + t.InternalPath + apiRoot + "/events HTTP/1.1\r\nHost: " + t.Internal +
			"\r\nAuthorization: Bearer " + t.AdminToken +
			"\r\nContent-Type: " + typeJSON + "\r\nContent-Length: "),
	}, nil
}

func dialInternal(ctx context.Context, t Target) (net.Conn, error) {
	if t.InternalTLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", t.Internal)
	}
	return (&tls.Dialer{Config: t.InternalTLS}).DialContext(ctx, "tcp", t.Internal)
}

func (p *publisher) close() { _ = p.conn.Close() }

// publishTimeout bounds one publish.
const publishTimeout = 30 * time.Second

// publish publishes one event and waits for its receipt.
func (p *publisher) publish(to audience, s stamp, size int) error {
	p.draft = appendDraft(p.draft[:0], to, s, size)
	p.out = append(p.out[:0], p.head...)
	p.out = strconv.AppendInt(p.out, int64(len(p.draft)), 10)
	p.out = append(p.out, "\r\n\r\n"...)
	p.out = append(p.out, p.draft...)
	if err := p.conn.SetDeadline(time.Now().Add(publishTimeout)); err != nil {
		return err
	}
	if _, err := p.conn.Write(p.out); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	answer, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return refused(answer)
	}
	p.body.Reset()
	_, err = p.body.ReadFrom(answer.Body)
	return err
}

// receipt returns the id of the event published last.
func (p *publisher) receipt() (event.Cursor, error) {
	var receipt struct {
		ID event.Cursor `json:"id"`
	}
	if err := json.Unmarshal(p.body.Bytes(), &receipt); err != nil {
		return event.Cursor{}, fmt.Errorf("receipt %.100q: %w", p.body.Bytes(), err)
	}
	return receipt.ID, nil
}

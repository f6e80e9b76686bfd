// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// A publisher publishes events one by one over one keep-alive connection. It
// writes its requests itself, because net/http's client hands each of them
// through two goroutines, and that would be measured with the server.
type publisher struct {
	conn  net.Conn
	in    *bufio.Reader
	head  []byte // of every request, up to the value of Content-Length
	draft []byte
	out   []byte
}

func dialPublisher(ctx context.Context, t Target) (*publisher, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.Internal)
	if err != nil {
		return nil, err
	}
	return &publisher{
		conn: conn,
		in:   bufio.NewReader(conn),
		head: []byte("POST " + apiRoot + "/events HTTP/1.1\r\nHost: " + t.Internal +
			"\r\nAuthorization: Bearer " + t.AdminToken +
			"\r\nContent-Type: " + typeJSON + "\r\nContent-Length: "),
	}, nil
}

func (p *publisher) close() { _ = p.conn.Close() }

// publishTimeout bounds one publish.
const publishTimeout = 30 * time.Second

// publish publishes one event and waits for the receipt.
func (p *publisher) publish(target string, s stamp, size int) error {
	p.draft = appendDraft(p.draft[:0], target, s, size)
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
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

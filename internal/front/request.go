// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/gobwas/ws"
)

// ConnectPath is the route of the upgrade.
const ConnectPath = "/api/internal/v1/ws/gateways/connect"

// maxHead bounds a request's line and headers, in bytes.
const maxHead = 8 << 10

var (
	errHeadTooLong = errors.New("request line and headers over 8 KiB")
	endOfHead      = []byte("\r\n\r\n")
)

// readHead reads a request's line and headers into buf, which has maxHead bytes.
// It returns them, and the bytes that came behind.
func readHead(r io.Reader, buf []byte) (head, behind []byte, err error) {
	n := 0
	for {
		m, err := r.Read(buf[n:])
		from := max(0, n-len(endOfHead)+1)
		n += m
		if i := bytes.Index(buf[from:n], endOfHead); i >= 0 {
			end := from + i + len(endOfHead)
			return buf[:end], buf[end:n], nil
		}
		switch {
		case n == len(buf):
			return nil, nil, errHeadTooLong
		case err != nil:
			return nil, nil, err
		}
	}
}

// isConnect reports whether a request's head is for the connect route, whatever
// its method. Anything that is not clearly so is net/http's to judge.
func isConnect(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	fields := strings.Split(string(line), " ")
	if len(fields) != 3 {
		return false
	}
	u, err := url.ParseRequestURI(fields[1])
	return err == nil && u.Path == ConnectPath
}

// An upgrade is a valid request for one.
type upgrade struct {
	token    string
	since    string // the position to go on from; empty for none
	latest   bool   // of what was missed, only the newest event of each key
	deflate  bool   // permessage-deflate is accepted
	response []byte // the 101 that accepts it
}

// parseUpgrade checks a request's head against RFC 6455 section 4.2.1, and [checkHead].
// With compression an offer of permessage-deflate may be accepted.
func parseUpgrade(head []byte, compression bool) (*upgrade, *refusal) {
	var (
		up       upgrade
		replay   string
		response bytes.Buffer
	)
	upgrader := ws.Upgrader{
		ReadBufferSize: maxHead,
		OnRequest: func(uri []byte) error {
			up.since, replay = queried(string(uri))
			return nil
		},
		OnHeader: func(key, value []byte) error {
			switch {
			case strings.EqualFold(string(key), "api-key"):
				up.token = string(value)
			case strings.EqualFold(string(key), "last-event-id") && len(value) > 0:
				up.since = string(value)
			case strings.EqualFold(string(key), "replay"):
				replay = string(value)
			}
			return nil
		},
	}
	if compression {
		negotiate(&upgrader, &up.deflate)
	}
	_, err := upgrader.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(head), &response})
	if err != nil {
		return nil, refusalOf(err, head)
	}
	if wrong := checkHead(head); wrong != "" {
		return nil, badRequest(wrong)
	}
	if replay != "" && replay != "latest" {
		return nil, badRequest("replay: want latest, or nothing for every event that was missed")
	}
	up.latest = replay != ""
	up.response = response.Bytes()
	return &up, nil
}

// queried returns what a request's URI says of where to go on from: the only
// things that are taken from it.
func queried(uri string) (since, replay string) {
	_, query, _ := strings.Cut(uri, "?")
	values, _ := url.ParseQuery(query) // what cannot be read was not meant for us
	return values.Get("since"), values.Get("replay")
}

// refusalOf says what is wrong with a request that gobwas/ws would not upgrade. It
// stops at the first header that does not fit, so that of an ordinary GET it
// may see the Connection header and not come to miss the Upgrade header.
func refusalOf(err error, head []byte) *refusal {
	switch {
	case errors.Is(err, ws.ErrHandshakeBadMethod):
		return methodNotAllowed()
	case errors.Is(err, ws.ErrHandshakeBadUpgrade),
		errors.Is(err, ws.ErrHandshakeBadConnection) && !hasHeader(head, "upgrade"):
		return upgradeRequired("send Upgrade: websocket")
	case errors.Is(err, ws.ErrHandshakeUpgradeRequired):
		return upgradeRequired("only version 13 of the WebSocket protocol is spoken here")
	case errors.Is(err, ws.ErrHandshakeBadProtocol):
		return badRequest("want HTTP/1.1")
	default:
		return badRequest(err.Error())
	}
}

// hasHeader reports whether a request's head has a header, given in lower case.
func hasHeader(head []byte, name string) bool {
	return bytes.Contains(bytes.ToLower(head), []byte("\r\n"+name+":"))
}

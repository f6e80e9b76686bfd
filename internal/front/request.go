// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/gobwas/ws"
)

// ConnectPath is the route of the upgrade.
const ConnectPath = "/api/internal/v1/ws/gateways/connect"

// readHead reads and vets a request's line and headers, with buf, which has
// [http1.MaxHead] bytes. It returns them and the bytes that came after them; both
// lie at the front of buf. An error about the request is an [*http1.Error].
func readHead(r io.Reader, buf []byte) (head *http1.Head, after []byte, err error) {
	var scanner http1.Scanner
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if empty := http1.EmptyLines(buf[:n]); empty > 0 {
			n = copy(buf, buf[empty:n])
			scanner = http1.Scanner{}
		}
		if n > 0 && (buf[0] != '\r' || n > 1) {
			end, bad := scanner.End(buf[:n])
			if bad != nil {
				return nil, nil, bad
			}
			if end > 0 {
				if head, bad = http1.Parse(buf[:end]); bad != nil {
					return nil, nil, bad
				}
				return head, buf[end:n], nil
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// isConnect reports whether a request is for the connect route, whatever its
// method.
func isConnect(head *http1.Head) bool { return head.URL.Path == ConnectPath }

// An upgrade is a valid request for one.
type upgrade struct {
	token    string
	since    string // the position to go on from; empty for none
	latest   bool   // of what was missed, only the newest event of each key
	deflate  bool   // permessage-deflate is accepted
	response []byte // the 101 that accepts it
}

// parseUpgrade checks a request against RFC 6455 section 4.2.1, and [checkHead].
// With compression an offer of permessage-deflate may be accepted.
func parseUpgrade(head *http1.Head, compression bool) (*upgrade, *refusal) {
	if no := checkUpgrade(head); no != nil {
		return nil, no
	}
	up := &upgrade{token: first(head.Values("api-key"))}
	replay, no := up.position(head)
	if no != nil {
		return nil, no
	}
	var response bytes.Buffer
	upgrader := ws.Upgrader{ReadBufferSize: 2 * http1.MaxHead}
	if compression {
		negotiate(&upgrader, &up.deflate)
	}
	_, err := upgrader.Upgrade(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(canonical(head)), &response})
	switch {
	case errors.Is(err, ws.ErrHandshakeUpgradeRequired):
		return nil, upgradeRequired("only version 13 of the WebSocket protocol is spoken here")
	case err != nil:
		return nil, badRequest(err.Error())
	}
	if wrong := checkHead(head); wrong != "" {
		return nil, badRequest(wrong)
	}
	if replay != "" && replay != "latest" {
		return nil, badRequest("replay: want latest, or nothing for every event that was missed")
	}
	up.latest = replay != ""
	up.response = response.Bytes()
	return up, nil
}

// checkUpgrade returns what keeps a request from being an upgrade to WebSocket;
// nil for nothing. Connection and Upgrade are lists, over any number of lines.
func checkUpgrade(head *http1.Head) *refusal {
	has := func(name, element string) bool {
		return slices.ContainsFunc(head.List(name), func(s string) bool { return strings.EqualFold(s, element) })
	}
	switch {
	case head.Method != http.MethodGet:
		return methodNotAllowed()
	case head.Minor == 0:
		return badRequest("want HTTP/1.1")
	case !has("upgrade", "websocket"):
		return upgradeRequired("send Upgrade: websocket")
	case !has("connection", "upgrade"):
		return badRequest("send Connection: Upgrade")
	}
	return nil
}

// canonical returns an upgrade in the form that gobwas/ws takes: Connection and
// Upgrade once and with one element.
func canonical(head *http1.Head) string {
	var b strings.Builder
	b.Grow(len(head.Text()) + 64)
	b.WriteString("GET " + ConnectPath + " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	head.Lines(func(name, value string) {
		if !strings.EqualFold(name, "connection") && !strings.EqualFold(name, "upgrade") {
			b.WriteString(name + ": " + value + "\r\n")
		}
	})
	b.WriteString("\r\n")
	return b.String()
}

// position sets where the gateway goes on from, and returns how. A header comes
// before the query.
func (up *upgrade) position(head *http1.Head) (replay string, no *refusal) {
	query, err := strict.PickQuery(head.URL.RawQuery, "since", "replay")
	if err != nil {
		return "", badRequest("a malformed query: " + err.Error())
	}
	up.since = cmp.Or(first(head.Values("last-event-id")), query["since"])
	return cmp.Or(first(head.Values("replay")), query["replay"]), nil
}

// first returns the first of some values, "" if there are none.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

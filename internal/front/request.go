// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package front

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 names it; no secret depends on it
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gatecast/gatecast/internal/http1"
	"github.com/gatecast/gatecast/internal/strict"
)

// ConnectPath is the default route of the upgrade.
const ConnectPath = "/api/internal/v1/ws/gateways/connect"

// readHead reads and checks a request line and its headers. buf has [http1.MaxHead] bytes.
// The head and the bytes after it lie at the start of buf. An error about the request is
// an [*http1.Error].
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
			head, bad := scanner.Next(buf[:n])
			if bad != nil {
				return nil, nil, bad
			}
			if head != nil {
				return head, buf[len(head.Text()):n], nil
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// isConnect reports whether a request is for the connect route, with any method.
func (f *Front) isConnect(head *http1.Head) bool {
	return slices.Contains(f.cfg.ConnectPaths, head.URL.Path)
}

// isOurs reports whether a request is for the front, not for the platform: one for the
// connect route, or a WebSocket upgrade on another path.
func (f *Front) isOurs(head *http1.Head) bool { return f.isConnect(head) || isUpgrade(head) }

// isUpgrade reports whether a request asks for WebSocket. Connection: Upgrade is not
// needed: a balancer that has removed it must not hide the upgrade.
func isUpgrade(head *http1.Head) bool {
	return head.Method == http.MethodGet && listsElement(head, "upgrade", "websocket")
}

// listsElement reports whether a header that is a list has an element, in any case.
func listsElement(head *http1.Head, name, element string) bool {
	return slices.ContainsFunc(head.List(name), func(s string) bool { return strings.EqualFold(s, element) })
}

// An upgrade is a valid request to open a WebSocket connection.
type upgrade struct {
	token    string
	since    string // the position to resume after; empty: none
	latest   bool   // send only the newest missed event of each key
	deflate  bool   // permessage-deflate is accepted
	response []byte // the 101 response
}

// parseUpgrade checks a request against RFC 6455 section 4.2.1 and [checkHead], and
// makes the response. With compression an offer of permessage-deflate can be accepted.
func parseUpgrade(head *http1.Head, compression bool) (*upgrade, *refusal) {
	if refused := checkUpgrade(head); refused != nil {
		return nil, refused
	}
	if problem := checkHead(head); problem != "" {
		return nil, badRequest(problem)
	}
	apiKey, _ := head.Value("api-key")
	authorization, _ := head.Value("authorization")
	token, same := credential(apiKey, authorization)
	if !same {
		return nil, badRequest("the headers api-key and Authorization have different tokens; send one of them")
	}
	up := &upgrade{token: token}
	if refused := up.setPosition(head); refused != nil {
		return nil, refused
	}
	extension := ""
	if compression {
		extension = acceptDeflate(head.Values("sec-websocket-extensions"))
		up.deflate = extension != ""
	}
	key, _ := head.Value("sec-websocket-key")
	up.response = switchingProtocols(key, extension)
	return up, nil
}

// acceptGUID is appended to a key before it is hashed (RFC 6455 section 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// switchingProtocols returns the response that accepts an upgrade (RFC 6455 section
// 4.2.2). extension is the value of Sec-WebSocket-Extensions; empty: no such header.
func switchingProtocols(key, extension string) []byte {
	digest := sha1.Sum([]byte(key + acceptGUID))
	b := make([]byte, 0, 256)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, digest[:])
	if extension != "" {
		b = append(b, "\r\nSec-WebSocket-Extensions: "...)
		b = append(b, extension...)
	}
	return append(b, "\r\n\r\n"...)
}

// checkUpgrade returns why a request is no upgrade to WebSocket, nil for an upgrade
// (RFC 6455 section 4.2.1). Connection and Upgrade are lists, over any number of lines.
func checkUpgrade(head *http1.Head) *refusal {
	version, versions := head.Value("sec-websocket-version")
	switch {
	case head.Method != http.MethodGet:
		return methodNotAllowed()
	case head.Minor == 0:
		return badRequest("want HTTP/1.1")
	case !listsElement(head, "upgrade", "websocket"):
		return upgradeRequired("send Upgrade: websocket")
	case !listsElement(head, "connection", "upgrade"):
		return badRequest("send Connection: Upgrade")
	case versions == 0:
		return badRequest("send Sec-WebSocket-Version: 13")
	case versions == 1 && version != "13": // section 4.4; checkHead refuses several
		return upgradeRequired("want version 13 of the WebSocket protocol")
	}
	return nil
}

// setPosition sets the position to resume after, and how. A header comes before the query.
// The query is parsed strictly: a position that two parsers read differently would resume
// after the wrong event.
func (up *upgrade) setPosition(head *http1.Head) *refusal {
	query, err := strict.PickQuery(head.URL.RawQuery, "since", "replay")
	if err != nil {
		return badRequest("a malformed query: " + err.Error())
	}
	since, _ := head.Value("last-event-id")
	replay, _ := head.Value("replay")
	up.since = cmp.Or(since, query["since"])
	switch cmp.Or(replay, query["replay"]) {
	case "":
	case "latest":
		up.latest = true
	default:
		return badRequest("replay: want latest, or nothing for every missed event")
	}
	return nil
}

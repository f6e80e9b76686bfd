// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/gatecast/gatecast/internal/spec"
)

// upgradeExample is a connection from the request to the first frame. Key and
// accept are those of RFC 6455 section 1.3.
const upgradeExample = `GET %s HTTP/1.1
Host: gatecast.example:9243
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
api-key: TOKEN
Last-Event-ID: mwu3mkb9-1041

HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`

// protocolPage returns the page of the gateways' protocol.
func protocolPage() (string, error) {
	doc, err := parse(spec.AsyncAPI)
	if err != nil {
		return "", err
	}
	channel := doc.get("channels", "connect")
	about, rest, _ := strings.Cut(channel.get("description").text(), "\n## ")
	resume, rest, _ := strings.Cut(rest, "\n## ")
	p := new(page)
	p.connect(doc, channel, about)
	p.refusals(channel)
	p.prose("## "+resume, 2)
	for _, direction := range []string{"sendToGateway", "receiveFromGateway"} {
		p.frames(doc.get("operations", direction))
	}
	if err := p.closeCodes(channel); err != nil {
		return "", err
	}
	p.prose("## "+rest, 2)
	if err := p.limits(channel.get("x-limits"), "beyond it"); err != nil {
		return "", err
	}
	return p.finish("Gateway protocol", "internal/spec/asyncapi.yaml", doc.get("info", "description").text()), nil
}

// connect adds how to open a connection.
func (p *page) connect(doc, channel node, about string) {
	p.heading(2, "Connect")
	p.code("http", fmt.Sprintf(upgradeExample, channel.get("address").text()))
	p.prose(doc.get("servers", "gateways", "description").text(), 3)
	p.prose(about, 3)
	p.heading(3, "Credentials")
	for _, name := range doc.get("components", "securitySchemes").names() {
		p.WriteString(wrap("- " + doc.get("components", "securitySchemes", name, "description").text()))
	}
	p.WriteString("\n")
	p.heading(3, "Headers and parameters")
	var rows [][]string
	for _, part := range []string{"headers", "query"} {
		list := channel.get("bindings", "ws", part, "properties")
		for _, name := range list.names() {
			s := list.get(name)
			rows = append(rows, []string{ticks(name), strings.TrimSuffix(part, "s"), plainText(typeOf(s)), s.get("description").text()})
		}
	}
	p.table([]string{"name", "in", "type", "meaning"}, rows)
}

// refusals adds the table of answers that refuse an upgrade.
func (p *page) refusals(channel node) {
	p.heading(2, "Refusals")
	p.prose("A refusal is an HTTP response instead of 101. Its body is JSON:", 3)
	p.code("json", `{"error":"unauthorized","message":"neither api-key nor Authorization has a valid token"}`)
	var rows [][]string
	for _, r := range channel.get("x-refusals").items() {
		rows = append(rows, []string{r.get("status").text(), ticks(r.get("code").text()), r.get("cause").text(), r.get("remedy").text()})
	}
	p.table([]string{"status", "error", "cause", "what to do"}, rows)
}

// frames adds the messages of one direction.
func (p *page) frames(op node) {
	p.heading(2, op.get("title").text())
	p.prose(op.get("description").text(), 3)
	for _, message := range op.get("messages").items() {
		p.frame(message.follow())
	}
}

// frame adds the section of a message.
func (p *page) frame(m node) {
	p.heading(3, m.get("name").text())
	p.prose(m.get("summary").text(), 4)
	for _, e := range m.get("examples").items() {
		p.code("json", e.get("payload").json())
	}
	if d := m.get("description").text(); d != "" {
		p.prose(d, 4)
	}
	rows := members(m.get("payload").follow(), "")
	for i := range rows {
		rows[i][1] = plainText(rows[i][1])
	}
	p.table(memberHead, rows)
}

// plainText replaces the links of typeOf by words: this page has no section of
// types.
func plainText(text string) string {
	return strings.NewReplacer("[EventId](#eventid)", "event id", "[Name](#name)", "id", "[Timestamp](#timestamp)", "time", "[Replay](#replay)", "string").Replace(text)
}

// closeCodes adds the table of close codes.
func (p *page) closeCodes(channel node) error {
	p.heading(2, "Close codes")
	p.prose("The server answers a close frame of the client with the same code. The client must answer the server's within 5 s. "+
		"A connection that is lost has no close code: reconnect with backoff and resume.", 3)
	list := channel.get("x-close-codes")
	var rows [][]string
	for _, c := range list.items() {
		rows = append(rows, []string{c.get("code").text(), c.get("meaning").text(), c.get("client").text()})
	}
	p.table([]string{"code", "meaning", "what the client does"}, rows)
	return checkConstants(list, "code")
}

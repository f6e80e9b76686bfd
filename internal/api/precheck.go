// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gatecast/gatecast/internal/http1"

	"github.com/valyala/fasthttp"
)

// A checkedListener gives fasthttp connections on which every request head was
// checked by package http1 first. fasthttp accepts some heads that HTTP
// forbids, and reads them in its own way; behind a proxy that reads them
// differently, that is request smuggling.
type checkedListener struct {
	net.Listener
	rules *http1.Rules
}

// Accept implements [net.Listener].
func (l *checkedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return http1.NewConn(c, l.rules, nil), nil
}

// headRules returns the rules by which a request head is passed on to fasthttp.
func (s *Server) headRules() *http1.Rules {
	return &http1.Rules{HeadTimeout: s.limits.read, Refuse: rejectHead, Check: s.authorizeBeforeBody}
}

// rejectHead returns the answer to a request head that is not valid HTTP.
func rejectHead(bad *http1.Error) []byte {
	p := problemf(bad.Status, codeBadRequest, "%s", bad.Message)
	switch bad {
	case http1.ErrTooLong:
		p = headerTooLong()
	case http1.ErrTimeout:
		p = problemf(bad.Status, codeTimeout, "%s", bad.Message)
	}
	if p.status == http.StatusMethodNotAllowed {
		p.code = codeMethodNotAllowed
	}
	return finalResponse(p)
}

// authorizeBeforeBody rejects a request that has a body and no valid admin
// token before any of the body is read. guard cannot do that: fasthttp reads
// the beginning of a body before it calls a handler. It returns nil to let the
// request through.
func (s *Server) authorizeBeforeBody(h *http1.Head) []byte {
	if !h.HasBody() {
		return nil
	}
	// isPublic must see the path that the router will see. For the usual form
	// of a target that is its text; for the absolute form, the path of the URL.
	path := h.URL.EscapedPath()
	if strings.HasPrefix(h.Target, "/") {
		path, _, _ = strings.Cut(h.Target, "?")
	}
	if isPublic([]byte(path)) {
		return nil
	}
	authorization, _ := h.Value(fasthttp.HeaderAuthorization)
	if _, ok := s.identify([]byte(authorization)); ok {
		return nil
	}
	s.cfg.Logger.Warn("internal listener: no valid admin token", "method", h.Method)
	return finalResponse(missingToken())
}

// finalResponse returns the bytes of a problem's answer that ends the
// connection.
func finalResponse(p *problem) []byte {
	var r fasthttp.Response
	r.Header.SetNoDefaultContentType(true)
	p.writeTo(&r)
	addSecurityHeaders(&r.Header)
	r.SetConnectionClose()
	r.Header.SetNoDefaultContentType(true)
	r.Header.Set(fasthttp.HeaderDate, time.Now().UTC().Format(http.TimeFormat))
	return fmt.Appendf(nil, "%s%s", r.Header.Header(), r.Body())
}

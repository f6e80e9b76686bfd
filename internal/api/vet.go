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

// A vettedListener gives fasthttp connections on which it sees vetted requests
// only: of what HTTP forbids it reads some in its own way.
type vettedListener struct {
	net.Listener
	rules *http1.Rules
}

// Accept implements [net.Listener].
func (l *vettedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return http1.NewConn(c, l.rules, nil), nil
}

// rules returns what requests must be like to be given to fasthttp.
func (s *Server) rules() *http1.Rules {
	return &http1.Rules{HeadTimeout: s.limits.read, Refuse: refuseHead, Check: s.checkBeforeBody}
}

// refuseHead answers what is not a valid HTTP request.
func refuseHead(bad *http1.Error) []byte {
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
	return lastResponse(p)
}

// checkBeforeBody turns away who has no token and has a body to send, before
// anything of it is read or asked for: fasthttp reads the beginning of a body ahead
// of its handler.
func (s *Server) checkBeforeBody(h *http1.Head) []byte {
	if !h.HasBody() {
		return nil
	}
	path := h.URL.EscapedPath()
	if strings.HasPrefix(h.Target, "/") {
		path, _, _ = strings.Cut(h.Target, "?")
	}
	if open([]byte(path)) {
		return nil
	}
	authorization, _ := h.Value(fasthttp.HeaderAuthorization)
	if _, ok := s.identify([]byte(authorization)); ok {
		return nil
	}
	s.cfg.Logger.Warn("internal listener: no valid admin token", "method", h.Method)
	return lastResponse(noToken())
}

// lastResponse returns a problem as the response that ends a connection.
func lastResponse(p *problem) []byte {
	var r fasthttp.Response
	r.Header.SetNoDefaultContentType(true)
	p.fill(&r)
	protect(&r.Header)
	r.SetConnectionClose()
	r.Header.SetNoDefaultContentType(true)
	r.Header.Set(fasthttp.HeaderDate, time.Now().UTC().Format(http.TimeFormat))
	return fmt.Appendf(nil, "%s%s", r.Header.Header(), r.Body())
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

//go:build clients

package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// A coder is the driver of github.com/coder/websocket, in the process of the test.
type coder struct {
	ctx     context.Context
	reports chan report
	conn    *websocket.Conn
}

func startCoder(t *testing.T, d dial) *client {
	t.Helper()
	c := &coder{ctx: t.Context(), reports: make(chan report, backlog)}
	transport := &http.Transport{TLSClientConfig: tlsConfig(t, d), DisableKeepAlives: true}
	var running sync.WaitGroup
	if d.Method != "" {
		running.Go(func() { c.ask(transport, d) })
	} else if c.connect(transport, d) {
		running.Go(c.read)
	}
	t.Cleanup(running.Wait)
	return &client{t: t, reports: c.reports, do: c.obey}
}

func tlsConfig(t *testing.T, d dial) *tls.Config {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: d.Insecure}
	if d.CA != "" {
		pem, err := os.ReadFile(d.CA)
		if err != nil {
			t.Fatal(err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			t.Fatalf("%s holds no certificate", d.CA)
		}
	}
	if d.MaxTLS == "1.2" {
		config.MaxVersion = tls.VersionTLS12
	}
	return config
}

func header(d dial) http.Header {
	h := make(http.Header)
	for name, value := range d.Headers {
		h.Set(name, value)
	}
	if d.APIKey != nil {
		h.Set("api-key", *d.APIKey)
	}
	return h
}

func plainHeader(h http.Header) map[string]string {
	plain := make(map[string]string, len(h))
	for name, values := range h {
		plain[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return plain
}

// ask sends one ordinary request.
func (c *coder) ask(transport *http.Transport, d dial) {
	request, err := http.NewRequestWithContext(c.ctx, d.Method, d.URL, strings.NewReader(d.Body))
	if err != nil {
		c.failed(err)
		return
	}
	request.Header = header(d)
	response, err := transport.RoundTrip(request)
	if err != nil {
		c.failed(err)
		return
	}
	defer response.Body.Close()
	c.answered("response", response)
}

func (c *coder) failed(err error) { c.reports <- report{Event: "error", Message: err.Error()} }

func (c *coder) answered(event string, r *http.Response) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.failed(err)
		return
	}
	c.reports <- report{Event: event, Status: r.StatusCode, Headers: plainHeader(r.Header), Body: string(body)}
}

// connect reports whether it connected.
func (c *coder) connect(transport *http.Transport, d dial) bool {
	mode := websocket.CompressionContextTakeover // offered, as by the other drivers
	if d.NoCompression {
		mode = websocket.CompressionDisabled
	}
	conn, response, err := websocket.Dial(c.ctx, d.URL, &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: transport},
		HTTPHeader:      header(d),
		CompressionMode: mode,
		OnPingReceived: func(context.Context, []byte) bool {
			c.reports <- report{Event: "ping"}
			return true
		},
	})
	switch {
	case err == nil:
		conn.SetReadLimit(-1)
		c.conn = conn
		c.reports <- report{
			Event: "open", Extensions: response.Header.Get("Sec-WebSocket-Extensions"),
			TLS: strings.ReplaceAll(tls.VersionName(response.TLS.Version), "TLS ", "TLSv"),
		}
		return true
	case response != nil:
		c.answered("refused", response)
	default:
		c.failed(err)
	}
	return false
}

// read reports messages until the connection ends.
func (c *coder) read() {
	defer c.conn.CloseNow() // a context that ends between two reads does not close the connection
	for {
		kind, data, err := c.conn.Read(c.ctx)
		if err != nil {
			c.reports <- closeReport(err)
			return
		}
		event := "message"
		if kind == websocket.MessageBinary {
			event = "binary"
		}
		c.reports <- report{Event: event, Data: string(data)}
	}
}

func closeReport(err error) report {
	if e, ok := errors.AsType[websocket.CloseError](err); ok {
		return report{Event: "close", Code: int(e.Code), Reason: e.Reason}
	}
	return report{Event: "close", Code: int(websocket.StatusAbnormalClosure), Reason: err.Error()}
}

// obey executes a command. An error shows in the close report.
func (c *coder) obey(what command) {
	switch {
	case what.Send != "":
		_ = c.conn.Write(c.ctx, websocket.MessageText, []byte(what.Send))
	case what.SendBinary != nil:
		_ = c.conn.Write(c.ctx, websocket.MessageBinary, what.SendBinary)
	case what.SendParts != nil:
		c.sendParts(what.SendParts)
	case what.Ping:
		if c.conn.Ping(c.ctx) == nil {
			c.reports <- report{Event: "pong"}
		}
	case what.Close != 0:
		// Close reads the server's close frame itself and drops it, unless a Read is active. After
		// a pong a Read is active, because a pong does not end it.
		_ = c.conn.Ping(c.ctx)
		_ = c.conn.Close(websocket.StatusCode(what.Close), what.Reason)
	}
}

// sendParts sends a message in frames: the library makes one frame per write.
func (c *coder) sendParts(parts []string) {
	w, err := c.conn.Writer(c.ctx, websocket.MessageText)
	if err != nil {
		return
	}
	defer w.Close()
	for _, part := range parts {
		if _, err := io.WriteString(w, part); err != nil {
			return
		}
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/internal/front"

	"github.com/coder/websocket"
)

// Messages of all sizes come back as they were from a server that compresses, to a
// foreign client that does or does not (sections 12 and 13 of the well-known suite).
func TestCompression(t *testing.T) {
	for _, useTLS := range []bool{false, true} {
		for mode, name := range map[websocket.CompressionMode]string{
			websocket.CompressionDisabled: "off", websocket.CompressionNoContextTakeover: "no context takeover",
			websocket.CompressionContextTakeover: "context takeover offered",
		} {
			t.Run(fmt.Sprintf("TLS %t, %s", useTLS, name), func(t *testing.T) {
				t.Parallel()
				echoAll(t, dialEcho(t, useTLS, mode))
			})
		}
	}
}

func dialEcho(t *testing.T, useTLS bool, mode websocket.CompressionMode) *websocket.Conn {
	h := newHost(t, useTLS, true)
	scheme := map[bool]string{false: "ws://", true: "wss://"}[useTLS]
	c, resp, err := websocket.Dial(t.Context(), scheme+h.addr+front.ConnectPath, &websocket.DialOptions{
		CompressionMode: mode, CompressionThreshold: 1,
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); (got != "") != (mode != websocket.CompressionDisabled) {
		t.Errorf("the server answered %q", got)
	}
	c.SetReadLimit(-1)
	return c
}

func echoAll(t *testing.T, c *websocket.Conn) {
	noise := make([]byte, 256<<10)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(noise)
	const word = `{"type":"api.deployed","name":"größe"},`
	words := []byte(strings.Repeat(word, 1+len(noise)/len(word)))
	ctx := context.Background()
	for _, size := range []int{0, 1, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072, 256 << 10} {
		for kind, b := range map[websocket.MessageType][]byte{websocket.MessageBinary: noise[:size], websocket.MessageText: words[:size-size%len(word)]} {
			for range 20 {
				if err := c.Write(ctx, kind, b); err != nil {
					t.Fatal(err)
				}
				if k, got, err := c.Read(ctx); err != nil || k != kind || !bytes.Equal(got, b) {
					t.Fatalf("%d bytes of %v: %v %d bytes, %v", size, kind, k, len(got), err)
				}
			}
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// connected returns the ids of the gateways that are connected.
func (s *system) connected() (ids []string) {
	var answer struct {
		GatewayConnections struct {
			Connections []struct{ GatewayID string }
		}
	}
	s.call("GET", root+"/stats", "", &answer)
	for _, c := range answer.GatewayConnections.Connections {
		ids = append(ids, c.GatewayID)
	}
	return ids
}

// answerPings connects as a gateway, which answers pings until silent is closed.
func (s *system) answerPings(token string, silent <-chan struct{}) {
	c := s.dialRaw(forms[0])
	_, _ = io.WriteString(c, upgradeText(token))
	var done sync.WaitGroup
	done.Go(func() {
		br := bufio.NewReader(c)
		if _, err := http.ReadResponse(br, nil); err != nil {
			return
		}
		for {
			f, err := readFrame(br)
			if err != nil {
				return
			}
			select {
			case <-silent:
			default:
				if f.Header.OpCode == ws.OpPing {
					_ = ws.WriteFrame(c, ws.MaskFrame(ws.NewPongFrame(f.Payload)))
				}
			}
		}
	})
	s.t.Cleanup(func() {
		c.Close()
		done.Wait()
	})
}

// A gateway that reads nothing while it waits for the platform is alive, for as long
// as its request is in progress, and its neighbours that are silent are not.
func TestBusyGateway(t *testing.T) {
	for _, verify := range []bool{false, true} {
		t.Run(fmt.Sprintf("verify=%v", verify), func(t *testing.T) {
			reached, release := make(chan struct{}), make(chan struct{})
			platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost && r.URL.Path == "/verify" {
					b, _ := io.ReadAll(r.Body)
					id := "busy"
					if strings.Contains(string(b), "idle") {
						id = "idle"
					}
					w.Header().Set("Content-Type", "application/json")
					_, _ = fmt.Fprintf(w, `{"gatewayId":%q}`, id)
					return
				}
				close(reached)
				<-release
			}))
			defer platform.Close()
			cfg := config(t)
			cfg.Plaintext = true
			cfg.PlatformURL = platform.URL
			cfg.PingInterval, cfg.ConnectionTimeout = 100*time.Millisecond, 400*time.Millisecond
			busy, idle := "token-of-the-busy-one", "token-of-the-idle-one"
			if verify {
				cfg.VerifyURL = platform.URL + "/verify"
			}
			s := start(t, cfg)
			if !verify {
				busy, _ = s.gateway("busy")
				idle, _ = s.gateway("idle")
			}
			silent := make(chan struct{})
			for _, token := range []string{busy, idle} {
				s.answerPings(token, silent)
			}
			eventually(t, "both are connected", func() bool { return len(s.connected()) == 2 })
			request := s.dialRaw(forms[0])
			_, _ = io.WriteString(request, "GET "+root+"/apis/x HTTP/1.1\r\nHost: h\r\napi-key: "+busy+"\r\n\r\n")
			<-reached
			close(silent)
			eventually(t, "one is not any more", func() bool { return len(s.connected()) < 2 })
			if ids := s.connected(); len(ids) != 1 || ids[0] != "busy" {
				t.Errorf("connected are %v", ids)
			}
			close(release)
			eventually(t, "neither is", func() bool { return len(s.connected()) == 0 })
		})
	}
}

// A gateway that reads no event while it waits for the platform is no slow consumer. Its
// neighbour that reads nothing and waits for nothing is closed.
func TestBusyGatewayReadsNoEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 10 s after which a queue that does not move is stalled")
	}
	t.Parallel()
	reached, release := make(chan struct{}), make(chan struct{})
	platform := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(reached)
		<-release
	}))
	defer platform.Close()
	defer close(release)
	cfg := config(t)
	cfg.Plaintext = true
	cfg.PlatformURL = platform.URL
	cfg.SendQueueBytes = 64 << 20
	s := start(t, cfg)
	busy, _ := s.gateway("busy")
	idle, _ := s.gateway("idle")
	for _, token := range []string{busy, idle} {
		_, _ = io.WriteString(s.dialRaw(forms[0]), upgradeText(token))
	}
	eventually(t, "both are connected", func() bool { return len(s.connected()) == 2 })
	request := s.dialRaw(forms[0])
	_, _ = io.WriteString(request, "GET "+root+"/apis/x HTTP/1.1\r\nHost: h\r\napi-key: "+busy+"\r\n\r\n")
	<-reached
	payload := `"` + strings.Repeat("x", 1000<<10) + `"`
	for range 20 { // more than the buffers of the sockets hold
		for _, gateway := range []string{"busy", "idle"} {
			s.publish(gateway, payload)
		}
	}
	eventually(t, "one is not any more", func() bool { return len(s.connected()) < 2 })
	if ids := s.connected(); len(ids) != 1 || ids[0] != "busy" {
		t.Errorf("connected are %v", ids)
	}
}

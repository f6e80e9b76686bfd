// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package library

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"

	"github.com/gatecast/gatecast/bench/peers/hub"

	"github.com/centrifugal/centrifuge"
	"github.com/gobwas/ws"
)

// A Centrifuge serves with github.com/centrifugal/centrifuge, which is more than
// a WebSocket library: publications go through its broker, in memory here, to
// the channels a client is subscribed to. A gateway is subscribed, by the server,
// to a channel of its own and to one of all.
//
// From its documentation: a publication is encoded once for a channel, and
// written by a goroutine a connection with a queue; UseWriteBufferPool; and
// ProcessCommandsOffReadLoop, for "large pools of mostly-idle connections".
//
// The load speaks RFC 6455 and no protocol above it. So its pings are asked to
// be frames, as for other plain clients; the command that its clients connect
// with is put in front of what the connection sends, see [greeted]; the ack lies
// in the reply to that; and an event lies in the push that a publication is,
// where the load finds it. Of several pushes in one message the load would find
// the first only, so they are not joined: what the library would save in a
// burst that way, it does not save here.
type Centrifuge struct{ node *centrifuge.Node }

const (
	channelAll     = "all"
	channelGateway = "gateway:" // the gateway's id follows
)

// sendQueueBytes bounds what waits for a connection, as gatecast does.
const sendQueueBytes = 4 << 20

// Serve implements [hub.Library].
func (c *Centrifuge) Serve(ln net.Listener, cfg *tls.Config, h *hub.Hub) error {
	if err := c.start(h); err != nil {
		return err
	}
	handler := centrifuge.NewWebsocketHandler(c.node, centrifuge.WebsocketConfig{
		ReadBufferSize:             1024,
		UseWriteBufferPool:         true,
		WriteTimeout:               writeTimeout,
		ProcessCommandsOffReadLoop: true,
		PingPongConfig: centrifuge.PingPongConfig{
			PingInterval: h.PingInterval,
			PongTimeout:  h.Timeout - h.PingInterval,
		},
	})
	return serveHTTP(ln, cfg, h, func(w http.ResponseWriter, r *http.Request, id string) {
		r.URL.RawQuery = "cf_ws_frame_ping_pong=true"
		ctx := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: id})
		handler.ServeHTTP(greeter{w}, r.WithContext(ctx))
	})
}

func (c *Centrifuge) start(h *hub.Hub) (err error) {
	if c.node, err = centrifuge.New(centrifuge.Config{ClientQueueMaxSize: sendQueueBytes}); err != nil {
		return err
	}
	c.node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		credentials, ok := centrifuge.GetCredentials(ctx)
		if !ok {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{
			Data:               h.Ack(credentials.UserID),
			Subscriptions:      map[string]centrifuge.SubscribeOptions{channelAll: {}, channelGateway + credentials.UserID: {}},
			MaxMessagesInFrame: 1,
		}, nil
	})
	return c.node.Run()
}

// Send implements [hub.Library].
func (c *Centrifuge) Send(gatewayID string, message []byte) {
	c.publish(channelGateway+gatewayID, message)
}

// SendAll implements [hub.Library].
func (c *Centrifuge) SendAll(message []byte) { c.publish(channelAll, message) }

func (c *Centrifuge) publish(channel string, message []byte) {
	if _, err := c.node.Publish(channel, message); err != nil {
		slog.Error("publish", "err", err)
	}
}

// A greeter makes a connection that is hijacked a greeted one.
type greeter struct{ http.ResponseWriter }

// Hijack implements [http.Hijacker].
func (g greeter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(g.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	greeting := ws.MaskFrame(ws.NewTextFrame([]byte(`{"id":1,"connect":{}}`)))
	c := &greeted{Conn: nc, greeting: ws.MustCompileFrame(greeting)}
	rw.Reader.Reset(c) // nothing is in it: the load sends no more before it has the ack
	return c, rw, nil
}

// A greeted connection begins with a message that its peer has not sent.
type greeted struct {
	net.Conn
	greeting []byte // what is left of it
}

func (g *greeted) Read(p []byte) (int, error) {
	if len(g.greeting) == 0 {
		return g.Conn.Read(p)
	}
	n := copy(p, g.greeting)
	g.greeting = g.greeting[n:]
	return n, nil
}

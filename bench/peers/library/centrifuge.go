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

// A Centrifuge serves with github.com/centrifugal/centrifuge, which is more than a WebSocket
// library: publications go through its broker, here in memory, to the channels that a client is
// subscribed to. The server subscribes a gateway to its own channel and to one for all gateways.
//
// From its documentation: a publication is encoded once per channel, and written by one goroutine
// per connection with a queue; UseWriteBufferPool; and ProcessCommandsOffReadLoop, for "large pools
// of mostly-idle connections".
//
// The load speaks RFC 6455 without a protocol above it. So the library sends pings as frames, as
// for other plain clients. The connect command of its clients is put before what the connection
// sends, see [greeted]. The ack is in the reply to that command. An event is in the push of a
// publication, where the load finds it. Pushes are not joined into one message, because the load
// would find only the first one: the library does not save that cost in a burst.
type Centrifuge struct{ node *centrifuge.Node }

const (
	channelAll     = "all"
	channelGateway = "gateway:" // followed by the gateway id
)

// sendQueueBytes bounds the send queue of a connection, as in gatecast.
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

// A greeter makes a hijacked connection a greeted one.
type greeter struct{ http.ResponseWriter }

// Hijack implements [http.Hijacker].
func (g greeter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(g.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	greeting := ws.MaskFrame(ws.NewTextFrame([]byte(`{"id":1,"connect":{}}`)))
	c := &greeted{Conn: nc, greeting: ws.MustCompileFrame(greeting)}
	rw.Reader.Reset(c) // it is empty: the load sends nothing before it has the ack
	return c, rw, nil
}

// A greeted connection starts with a message that its peer has not sent.
type greeted struct {
	net.Conn
	greeting []byte // the rest of it
}

func (g *greeted) Read(p []byte) (int, error) {
	if len(g.greeting) == 0 {
		return g.Conn.Read(p)
	}
	n := copy(p, g.greeting)
	g.greeting = g.greeting[n:]
	return n, nil
}

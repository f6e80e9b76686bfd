// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatecast/gatecast/client"
)

// A CursorStore stores the position of a reader of messages. Its Save is called after each
// message that was handled.
type CursorStore = client.CursorStore

// A FileCursor is a CursorStore in the file with this name. Each Save writes a new file, syncs it
// to disk and renames it.
type FileCursor = client.FileCursor

// A MemoryCursor is a CursorStore in memory, for a reader that begins with the oldest message
// after each start.
type MemoryCursor = client.MemoryCursor

// A Message is what a gateway reported, or a gap.
type Message struct {
	// ID is the position of the message. Together with [CursorStore] it is what a reader has to
	// keep.
	ID           string    `json:"id"`
	Type         string    `json:"type"` // "deployment.ack", "event.ack" of a failure, or "gap"
	GatewayID    string    `json:"gatewayId"`
	ConnectionID string    `json:"connectionId"`
	Timestamp    time.Time `json:"timestamp"` // when the node received it
	EventID      string    `json:"eventId"`   // in an event.ack: the event that it is about
	Status       string    `json:"status"`    // in an event.ack
	Error        string    `json:"error"`     // in an event.ack: the gateway's reason
	// Payload is that of a deployment.ack, as the gateway sent it.
	Payload json.RawMessage `json:"payload"`
	// Missing is the number of messages that a gap stands for. They left the journal before they
	// were read, so compare with the state of the gateways.
	Missing int `json:"missing"`
}

// MessageOptions are options of [Client.Messages]. The zero value reads all messages.
type MessageOptions struct {
	Type string // only messages of this type, and gaps; "" means all
	// Wait is how long one request waits for a message, at most one minute. 0 means 30 s.
	Wait time.Duration
	// Page is the largest number of messages per request, at most 1000. 0 means the node's default.
	Page int
}

// Messages iterates over what gateways report, oldest first, from the position in store, and waits
// for new messages until ctx ends. Without a position it begins with the oldest message.
//
// A message counts as handled when the loop asks for the next one. Only then its position is
// stored. So after a break, a panic or a crash the message comes again: a reader gets each message
// at least once.
//
// Failed requests are repeated. An error that does not pass, of the node, of the store or of ctx,
// is the last element; its message is zero.
func (c *Client) Messages(ctx context.Context, store CursorStore, o MessageOptions) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := messageReader{c: c, store: store, o: o, wait: o.Wait}
		if r.wait == 0 {
			r.wait = 30 * time.Second
		}
		if err := r.run(ctx, func(m Message) bool { return yield(m, nil) }); err != nil {
			yield(Message{}, err)
		}
	}
}

// A messageReader is one iteration. It belongs to the goroutine of its loop.
type messageReader struct {
	c     *Client
	store CursorStore
	o     MessageOptions
	wait  time.Duration
	after string // the last position saved
}

// run yields messages until yield returns false or something fails.
func (r *messageReader) run(ctx context.Context, yield func(Message) bool) (err error) {
	if r.after, err = r.store.Load(ctx); err != nil {
		return err
	}
	pause := backoff{c: r.c} // between empty pages that came too early
	for {
		began := time.Now()
		page, err := r.page(ctx)
		if err != nil {
			return err
		}
		moved := page.Cursor != r.after
		for _, m := range page.Messages {
			if !yield(m) {
				return nil
			}
			if err := r.save(ctx, m.ID); err != nil {
				return err
			}
		}
		// The cursor can be past the last message, when other types follow it.
		if err := r.save(ctx, page.Cursor); err != nil {
			return err
		}
		// A node that shuts down ends its long polls early.
		if moved || time.Since(began) >= r.wait/2 {
			pause.reset()
		} else if err := pause.wait(ctx, errEndedEarly); err != nil {
			return err
		}
	}
}

// errEndedEarly is the reason of a retry that [Config.OnRetry] gets.
var errEndedEarly = errors.New("the node ended a long poll early")

// save stores a position, unless it is stored already. It completes although ctx has ended: the
// message was handled.
func (r *messageReader) save(ctx context.Context, position string) error {
	if position == r.after || position == "" {
		return nil
	}
	if err := r.store.Save(context.WithoutCancel(ctx), position); err != nil {
		return err
	}
	r.after = position
	return nil
}

type messagePage struct {
	Messages []Message `json:"messages"`
	Cursor   string    `json:"cursor"`
}

// page fetches the messages after the last position, waiting for one.
func (r *messageReader) page(ctx context.Context) (p messagePage, err error) {
	q := url.Values{"wait": {r.wait.String()}}
	for name, value := range map[string]string{"after": r.after, "type": r.o.Type} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if r.o.Page > 0 {
		q.Set("limit", strconv.Itoa(r.o.Page))
	}
	err = r.c.retry(ctx, r.wait+r.c.cfg.AttemptTimeout, func(ctx context.Context) error {
		p = messagePage{}
		return r.c.call(ctx, http.MethodGet, "/messages?"+q.Encode(), nil, &p)
	})
	return p, err
}

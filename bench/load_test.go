// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A load expects one delivery per connection of the event's gateways.
func TestLoadDeliveries(t *testing.T) {
	for _, c := range []LoadConfig{
		{Connections: 1, Gateways: 1}, {Connections: 10, Gateways: 10}, {Connections: 10, Gateways: 4}, {Connections: 7, Gateways: 5},
	} {
		want := make([]int, c.Gateways)
		for i := range c.Connections {
			want[i%c.Gateways]++ // as fleet.dial distributes them
		}
		for i := range want {
			g := &gateway{number: int64(i) + 1}
			if got := (&sustained{c: c}).deliveries(g); got != want[i] {
				t.Errorf("%d connections of %d gateways: %d to gateway %d; want %d", c.Connections, c.Gateways, got, i+1, want[i])
			}
			if got := (&sustained{c: c, group: "all"}).deliveries(g); got != c.Connections {
				t.Errorf("to all %d: %d", c.Connections, got)
			}
		}
	}
}

func TestLoadVerdict(t *testing.T) {
	for _, tt := range []struct {
		name             string
		want, got        int
		unexpected, lost error // errors of the fleet
		says             string
	}{
		{"nothing wrong", 3, 3, nil, nil, ""},
		{"somebody else's events", 3, 3, errForeign, nil, ""},
		{"lost events", 3, 1, nil, nil, "2 of 3 deliveries were lost"},
		{"a duplicate event", 3, 3, errors.New("a duplicate"), nil, "1 events were duplicated"},
		{"a connection that ended", 3, 3, nil, errors.New("reset by peer"), "1 connection ended early, the first one with: reset by peer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := &sustained{load: newLoad(Target{})}
			a := newArrivals(tt.want)
			a.got.Store(int64(tt.got))
			if tt.unexpected != nil {
				if err := x.fleet.tolerate(tt.unexpected); err != nil {
					t.Fatal(err)
				}
			}
			if tt.lost != nil {
				x.fleet.ended.Add(1)
				x.fleet.fail(tt.lost)
			}
			err := x.verdict(a)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; want an error with %q", err, tt.says)
			}
		})
	}
}

// A registry is a server of the gateway routes of the internal listener.
type registry struct {
	mu       sync.Mutex
	gateways map[string]bool
	most     int // maximum number of gateways
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch id, isOne := strings.CutPrefix(req.URL.Path, apiRoot+"/gateways/"); {
	case isOne && req.Method == http.MethodDelete && r.gateways[id]:
		delete(r.gateways, id)
		w.WriteHeader(http.StatusNoContent)
	case isOne:
		http.Error(w, `{"error":"not_found","message":"no such gateway"}`, http.StatusNotFound)
	case len(r.gateways) == r.most:
		http.Error(w, `{"error":"unavailable","message":"no more"}`, http.StatusServiceUnavailable)
	default:
		var body gateway
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.gateways[body.ID] = true
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":%q,"token":"t"}`, body.ID)
	}
}

// A load removes its gateways after every kind of failure.
func TestLoadCleansUp(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		most int
		want string
	}{
		{"a registration fails", t.Context(), 5, "503 unavailable"},
		{"the server does not listen", t.Context(), 100, "connection refused"},
		{"it is called off", ended, 100, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &registry{gateways: make(map[string]bool), most: tt.most}
			server := httptest.NewServer(r)
			defer server.Close()
			target := Target{Gateways: "127.0.0.1:1", Internal: server.Listener.Addr().String()}
			_, err := Load(tt.ctx, target, LoadConfig{
				Connections: 20, Gateways: 20, Rate: 1, For: time.Second, EventBytes: 1, Publishers: 1, Dialers: 1,
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
			if len(r.gateways) > 0 {
				t.Errorf("these gateways were not removed: %v", r.gateways)
			}
		})
	}
}

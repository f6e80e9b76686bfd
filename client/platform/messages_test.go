// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A journal answers GET /messages with messages m1, m2 and so on, two per page.
func journal(messages int) answerFunc {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		after, _ := strconv.Atoi(strings.TrimPrefix(r.FormValue("after"), "m"))
		var list []string
		for n := after + 1; n <= min(after+2, messages); n++ {
			list = append(list, fmt.Sprintf(`{"id":"m%d","type":"deployment.ack","gatewayId":"edge","payload":{"n":%d}}`, n, n))
		}
		fmt.Fprintf(w, `{"messages":[%s],"cursor":"m%d"}`, strings.Join(list, ","), after+len(list))
	}
}

// A recordingStore is a CursorStore that records what is saved.
type recordingStore struct {
	MemoryCursor
	saved []string
	err   error
}

func (s *recordingStore) Save(ctx context.Context, position string) error {
	s.saved = append(s.saved, position)
	return errors.Join(s.err, ctx.Err(), s.MemoryCursor.Save(ctx, position))
}

// The position of a message is stored when the loop asks for the next one, and not before.
func TestMessagesStoreHandled(t *testing.T) {
	f := newFake(t, journal(5))
	store := new(recordingStore)
	var got []string
	read := func(until string) {
		for m, err := range f.client(t).Messages(t.Context(), store, MessageOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if want := len(got); len(store.saved) != want {
				t.Fatalf("%s: saved %v, handled %v", m.ID, store.saved, got)
			}
			if m.ID == until {
				return // not handled
			}
			got = append(got, m.ID)
		}
	}
	read("m4")
	if want := []string{"m1", "m2", "m3"}; !slices.Equal(got, want) || !slices.Equal(store.saved, want) {
		t.Errorf("handled %v, saved %v", got, store.saved)
	}
	read("m5") // another reader continues with m4
	if !slices.Equal(got, []string{"m1", "m2", "m3", "m4"}) || !slices.Equal(store.saved, got) {
		t.Errorf("handled %v, saved %v", got, store.saved)
	}
	first := f.received()[0].path
	if first != "/api/internal/v1/messages?wait=30s" {
		t.Errorf("first request %s", first)
	}
}

// A position is stored in a file, and a message that was handled counts although ctx has ended.
func TestMessagesFile(t *testing.T) {
	f := newFake(t, journal(3))
	store := FileCursor(filepath.Join(t.TempDir(), "cursor"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for m, err := range f.client(t).Messages(ctx, store, MessageOptions{Type: "deployment.ack", Wait: time.Second, Page: 7}) {
		if last = err; err == nil && m.ID == "m3" {
			cancel()
		}
	}
	if position, err := store.Load(t.Context()); position != "m3" || err != nil || !errors.Is(last, context.Canceled) {
		t.Errorf("position %q, %v; ended with %v", position, err, last)
	}
	if r := f.received()[1]; r.path != "/api/internal/v1/messages?after=m2&limit=7&type=deployment.ack&wait=1s" {
		t.Errorf("%s", r.path)
	}
}

// What passes is repeated; what does not pass is the last element.
func TestMessagesErrors(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch n {
		case 0:
			cut()
		case 1:
			refuse(w, 503, "unavailable")
		case 2:
			journal(1)(w, r, n)
		default:
			refuse(w, 400, "bad_request")
		}
	})
	var got []string
	for m, err := range f.client(t).Messages(t.Context(), new(MemoryCursor), MessageOptions{}) {
		got = append(got, fmt.Sprint(m.ID, err))
	}
	if want := []string{"m1<nil>", "bad_request: no"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	failing := &recordingStore{err: errors.New("disk full")}
	got = nil
	for m, err := range newFake(t, journal(2)).client(t).Messages(t.Context(), failing, MessageOptions{}) {
		got = append(got, fmt.Sprint(m.ID, err))
	}
	if want := []string{"m1<nil>", "disk full"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A page without messages can move the position. A node that ends each poll early is not asked
// without a pause.
func TestMessagesEmptyPages(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		fmt.Fprintf(w, `{"messages":[],"cursor":"m%d"}`, min(n, 3))
	})
	store := new(recordingStore)
	var waits []time.Duration
	ctx, hook := cancelOnRetry(t, &waits)
	for _, err := range f.client(t, hook).Messages(ctx, store, MessageOptions{Wait: time.Minute}) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if !slices.Equal(store.saved, []string{"m0", "m1", "m2", "m3"}) || len(waits) != 1 || len(f.received()) != 5 {
		t.Errorf("saved %v, waits %v, %d requests", store.saved, waits, len(f.received()))
	}
}

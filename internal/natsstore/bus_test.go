// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBus(t *testing.T) {
	b := open(t, Config{InMemory: true}).Store.Bus()
	heard := make(chan string, 10)
	stop, err := b.Subscribe("greeting.*", func(subject string, data []byte) []byte {
		heard <- subject + " " + string(data)
		return append([]byte("to "), data...)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("greeting.n1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "greeting.n1 x" {
		t.Errorf("heard %q", got)
	}
	var answers []string
	err = b.Ask(t.Context(), "greeting.n1", []byte("y"), func(answer []byte) bool {
		answers = append(answers, string(answer))
		return true
	})
	if err != nil || !cmp.Equal(answers, []string{"to y"}) {
		t.Errorf("%v, %v", answers, err)
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.Ask(ctx, "greeting.n1", nil, func([]byte) bool { t.Error("an answer without a subscriber"); return true }); err != nil {
		t.Error(err)
	}
}

func TestBusAnswers(t *testing.T) {
	b := open(t, Config{InMemory: true}).Store.Bus()
	ask := func(subject string, enough int) (answers []string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := b.Ask(ctx, subject, []byte("?"), func(answer []byte) bool {
			answers = append(answers, string(answer))
			return len(answers) == enough
		})
		if err != nil {
			t.Error(err)
		}
		return answers
	}
	if got := ask("node.1", 1); got != nil {
		t.Errorf("nobody answers %q", got)
	}
	heard := make(chan string, 9)
	for _, answer := range [][]byte{{}, []byte("one"), nil} {
		stop, err := b.Subscribe("node.*", func(subject string, data []byte) []byte {
			heard <- subject + " " + string(data)
			return answer
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	if got := ask("node.1", 2); len(got) != 2 {
		t.Errorf("answers %q; want an empty one and another", got)
	}
	if err := b.Publish("node.2", []byte("!")); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for range 6 {
		got[<-heard]++
	}
	if diff := cmp.Diff(map[string]int{"node.1 ?": 3, "node.2 !": 3}, got); diff != "" {
		t.Error(diff)
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/strict"

	"github.com/alecthomas/kong"
)

type publishCmd struct {
	adminFlags
	Gateway     []string `help:"A gateway's id; may be repeated." placeholder:"ID" sep:"none" xor:"to"`
	Group       string   `help:"Every gateway of a group." placeholder:"G" xor:"to"`
	All         bool     `help:"Every gateway." xor:"to"`
	Type        string   `help:"The event's type, as in api.deployed." placeholder:"T"`
	Payload     string   `help:"The payload, as JSON." placeholder:"JSON" xor:"payload"`
	PayloadFile string   `help:"A file that holds the payload." placeholder:"F" xor:"payload"`
	Key         string   `help:"What the event is about: kept with it." placeholder:"K"`
	Correlation string   `name:"correlation-id" help:"An id for tracing. Default: a new UUID." placeholder:"ID"`
	Stdin       bool     `help:"Publish newline-delimited JSON, each line a whole event, from standard input; prints a receipt per line."`
}

// Run publishes.
func (c *publishCmd) Run(ctx context.Context, w world, k *kong.Context) error {
	if c.Stdin {
		if err := bulkContradiction(onCommandLine(k)); err != nil {
			return err
		}
		return c.bulk(ctx, w)
	}
	draft, err := c.draft()
	if err != nil {
		return err
	}
	return c.call(ctx, w, http.MethodPost, "/events", draft)
}

// bulkContradiction returns what is wrong with flags given beside --stdin: those about
// one event would be ignored.
func bulkContradiction(given map[string]bool) error {
	for _, flag := range []string{"gateway", "group", "all", "type", "payload", "payload-file", "key", "correlation-id"} {
		if given[flag] {
			return &usageError{fmt.Errorf("--stdin contradicts --%s: each line of standard input says that of its own event", flag)}
		}
	}
	return nil
}

// draft makes the request that the flags describe.
func (c *publishCmd) draft() (*event.Draft, error) {
	d := &event.Draft{
		GatewayIDs: c.Gateway, Group: c.Group, All: c.All,
		Type: c.Type, Key: c.Key, CorrelationID: c.Correlation,
	}
	if len(c.Gateway) == 1 {
		d.GatewayID, d.GatewayIDs = c.Gateway[0], nil
	}
	switch {
	case len(c.Gateway) == 0 && c.Group == "" && !c.All:
		return nil, &usageError{errors.New("say who the event is for: --gateway, --group or --all")}
	case c.Type == "":
		return nil, &usageError{errors.New("say what the event is: --type")}
	case c.PayloadFile != "":
		b, err := os.ReadFile(c.PayloadFile)
		if err != nil {
			return nil, fmt.Errorf("--payload-file: %w", err)
		}
		if d.Payload, err = strict.Text(b); err != nil {
			return nil, fmt.Errorf("--payload-file: %s: %w", c.PayloadFile, err)
		}
	case c.Payload != "":
		d.Payload = []byte(c.Payload)
	}
	if d.Payload != nil && !json.Valid(d.Payload) {
		return nil, &usageError{errors.New("the payload is not JSON")}
	}
	return d, nil
}

// A lineInput is standard input. It refuses UTF-16, which some shells write: a node would
// answer each half of a character.
type lineInput struct {
	io.Reader
	begun bool
}

func (in *lineInput) Read(p []byte) (int, error) {
	n, err := in.Reader.Read(p)
	if !in.begun && n > 0 {
		in.begun = true
		if _, wide := strict.Unmark(p[:n]); wide != nil {
			return 0, fmt.Errorf("standard input: %w", wide)
		}
	}
	return n, err
}

// bulk streams standard input to the node and its receipts back.
func (c *publishCmd) bulk(ctx context.Context, w world) error {
	answer, err := c.do(ctx, http.MethodPost, apiRoot+"/events", "application/x-ndjson", io.NopCloser(&lineInput{Reader: w.in}))
	if err != nil {
		return err
	}
	defer answer.Close()
	refused := 0
	lines := bufio.NewReader(answer)
	for {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(`"error":`)) {
			refused++
		}
		if _, err := w.out.Write(line); err != nil {
			return err
		}
		switch {
		case err == io.EOF && refused > 0:
			return fmt.Errorf("lines not published: %d; their answers say why", refused)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

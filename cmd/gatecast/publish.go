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

// A publishCmd publishes: POST /events. The target flags exclude each other (xor), and so do
// the two payload flags. Kong reports it when both are given.
type publishCmd struct {
	adminFlags
	Gateway     []string `help:"Id of a target gateway; can be repeated." placeholder:"ID" sep:"none" xor:"to"`
	Group       string   `help:"Group of target gateways." placeholder:"G" xor:"to"`
	Org         string   `help:"Organization of target gateways." placeholder:"O" xor:"to"`
	All         bool     `help:"Send to every gateway." xor:"to"`
	Type        string   `help:"Event type, as in api.deployed." placeholder:"T"`
	Payload     string   `help:"Payload as JSON." placeholder:"JSON" xor:"payload"`
	PayloadFile string   `help:"File with the payload as JSON." placeholder:"F" xor:"payload"`
	Key         string   `help:"Key for replay=latest: a newer event with it supersedes this one." placeholder:"K"`
	Correlation string   `name:"correlation-id" help:"Correlation id. None: a new UUID." placeholder:"ID"`
	Stdin       bool     `help:"Publish newline-delimited JSON events from standard input."`
}

// Run publishes one event, or standard input with --stdin.
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

// bulkContradiction returns an error if the command line has --stdin and a flag about one
// event, which would be ignored.
func bulkContradiction(given map[string]bool) error {
	for _, flag := range []string{"gateway", "group", "org", "all", "type", "payload", "payload-file", "key", "correlation-id"} {
		if given[flag] {
			return &usageError{fmt.Errorf("--stdin contradicts --%s: each line of standard input has it for its own event; leave one of them out", flag)}
		}
	}
	return nil
}

// draft returns the event that the flags describe. It checks only what would waste a request
// or, for a file, what the node could not report by name; the node checks the rest.
func (c *publishCmd) draft() (*event.Draft, error) {
	d := &event.Draft{
		GatewayIDs: c.Gateway, Group: c.Group, OrganizationID: c.Org, All: c.All,
		Type: c.Type, Key: c.Key, CorrelationID: c.Correlation,
	}
	if len(c.Gateway) == 1 {
		d.GatewayID, d.GatewayIDs = c.Gateway[0], nil // a delivery has gatewayId only for a single target
	}
	switch {
	case len(c.Gateway) == 0 && c.Group == "" && c.Org == "" && !c.All:
		return nil, &usageError{errors.New("the event has no target; give --gateway, --group, --org or --all")}
	case c.Type == "":
		return nil, &usageError{errors.New("the event has no type; give --type")}
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
		return nil, &usageError{errors.New("the payload is not JSON; check its quotes and brackets")}
	}
	return d, nil
}

// A lineInput is standard input. It refuses UTF-16, which some Windows shells write: the
// node would take each line feed byte for the end of a line and answer with an error per
// fragment.
//
// It belongs to the goroutine that sends the request.
type lineInput struct {
	io.Reader
	begun bool // the first bytes have been checked
}

// Read implements [io.Reader]. UTF-16 shows in the first two bytes of a stream.
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

// bulk streams standard input to the node and prints its receipts as they come. Memory does
// not grow with the input. Each line stands alone: an invalid one has an error in its place
// and stops nothing. The command fails at the end if there was one.
func (c *publishCmd) bulk(ctx context.Context, w world) error {
	response, err := c.do(ctx, http.MethodPost, apiRoot+"/events", "application/x-ndjson", &lineInput{Reader: w.in})
	if err != nil {
		return err
	}
	defer response.Close()
	refused := 0
	lines := bufio.NewReader(response)
	for {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(`"error":`)) { // a receipt has no such member
			refused++
		}
		if _, err := w.out.Write(line); err != nil {
			return err
		}
		switch {
		case err == io.EOF && refused > 0:
			return fmt.Errorf("lines not published: %d; the output has an error for each", refused)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

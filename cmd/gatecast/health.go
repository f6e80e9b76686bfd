// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

type healthCmd struct {
	InternalURL string        `name:"internal-url" help:"The node's internal route. Default: ${default}." default:"http://127.0.0.1:9244" env:"GATECAST_INTERNAL_URL" placeholder:"URL"`
	Timeout     time.Duration `help:"How long to wait for an answer. Default: ${default}." default:"2s" placeholder:"TIME"`
}

// Run asks the node whether it is ready.
func (c *healthCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.InternalURL, "/")+"/ready", nil)
	if err != nil {
		return &usageError{fmt.Errorf("--internal-url: %w", err)}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no node answers at %s: %w", c.InternalURL, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answerError(resp)
	}
	return nil
}

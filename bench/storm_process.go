// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A stormOrder is what the process of a storm is told on its standard input. The
// end of the input tells it to hang up.
type stormOrder struct {
	Gateways string   `json:"gateways"` // host:port
	TLS      bool     `json:"tls"`
	Tokens   []string `json:"tokens"` // a connection each
	Dialers  int      `json:"dialers"`
}

// A stormReport is what it answers, when all are connected and when it hangs up.
type stormReport struct {
	Took  time.Duration `json:"took"`
	Error string        `json:"error,omitempty"`
}

// ServeStorm connects as [StormBeside] orders on in, and reports on out. It is
// the body of the process that [StormBesideConfig] names.
func ServeStorm(in io.Reader, out io.Writer) error {
	orders := json.NewDecoder(in)
	var o stormOrder
	if err := orders.Decode(&o); err != nil {
		return fmt.Errorf("read what to connect to: %w", err)
	}
	t := Target{Gateways: o.Gateways}
	if o.TLS {
		t.TLS = clientTLS()
	}
	gateways := make([]gateway, len(o.Tokens))
	for i, token := range o.Tokens {
		gateways[i].Token = token
	}
	f := newFleet()
	defer f.close()
	start := now()
	err := f.dial(context.Background(), t, gateways, len(gateways), o.Dialers)
	report := json.NewEncoder(out)
	if err := report.Encode(newStormReport(now()-start, err)); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until it is to hang up
	return report.Encode(newStormReport(0, f.healthy()))
}

func newStormReport(took time.Duration, err error) stormReport {
	r := stormReport{Took: took}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// clientTLS is what gateways connect to a server of ours with: checking the chain
// would only cost the load time.
func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
}

// A stormProcess is a storm's load in a process of its own.
type stormProcess struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	reports *json.Decoder
}

// startStorm starts the process with the least priority: where it shares a
// processor with the load that measures, it takes what that leaves. Handshakes
// cost a client as much as a server, and a load that makes them itself would
// notice late what has arrived.
func startStorm(ctx context.Context, command, env []string) (*stormProcess, error) {
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "19"}, command...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	reports, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the storm: %w", err)
	}
	return &stormProcess{cmd, orders, json.NewDecoder(reports)}, nil
}

// rage connects, and returns how long it took.
func (p *stormProcess) rage(t Target, gateways []gateway, dialers int) (time.Duration, error) {
	o := stormOrder{Gateways: t.Gateways, TLS: t.TLS != nil, Dialers: dialers}
	for _, g := range gateways {
		o.Tokens = append(o.Tokens, g.Token)
	}
	if err := json.NewEncoder(p.orders).Encode(o); err != nil {
		return 0, err
	}
	return p.report()
}

func (p *stormProcess) report() (time.Duration, error) {
	var r stormReport
	if err := p.reports.Decode(&r); err != nil {
		return 0, fmt.Errorf("the storm's process: %w", err)
	}
	if r.Error != "" {
		return 0, errors.New(r.Error)
	}
	return r.Took, nil
}

// end has the storm hang up, and returns what was wrong with its connections.
func (p *stormProcess) end() error {
	_ = p.orders.Close()
	_, err := p.report()
	return errors.Join(err, p.cmd.Wait())
}

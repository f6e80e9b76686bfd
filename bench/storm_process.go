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
	"time"
)

// A stormOrder is what the process of a storm is told on its standard input. The
// end of the input tells it to hang up.
type stormOrder struct {
	Gateways string   `json:"gateways"` // host:port
	TLS      bool     `json:"tls"`
	Tokens   []string `json:"tokens"` // a connection each
	Dialers  int      `json:"dialers"`
	Since    string   `json:"since,omitempty"`  // the position that all resume from
	Missed   int      `json:"missed,omitempty"` // events that each then gets
}

// A stormReport is what it answers, when all are connected and when it hangs up.
type stormReport struct {
	Took  time.Duration `json:"took"` // until the last ack
	Live  time.Duration `json:"live"` // until the last event that was missed
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
		gateways[i].Token, gateways[i].since = token, o.Since
	}
	f := newFleet()
	defer f.close()
	a := newArrivals(len(gateways) * o.Missed)
	if o.Missed > 0 {
		f.expect(a)
	}
	start := now()
	err := f.dial(context.Background(), t, gateways, len(gateways), o.Dialers)
	r := newStormReport(now()-start, err)
	if r.Live = r.Took; o.Missed > 0 && err == nil {
		r.setError(f.wait(context.Background(), a))
		r.Live = max(r.Took, a.lastAt()-start)
	}
	report := json.NewEncoder(out)
	if err := report.Encode(r); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until it is to hang up
	return report.Encode(newStormReport(0, f.healthy()))
}

func newStormReport(took time.Duration, err error) stormReport {
	r := stormReport{Took: took}
	r.setError(err)
	return r
}

func (r *stormReport) setError(err error) {
	if err != nil {
		r.Error = err.Error()
	}
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
	cmd.SysProcAttr = childAttributes(false)
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
	r, err := p.resume(t, gateways, dialers, "", 0)
	return r.Took, err
}

// resume connects gateways that were all at one position, behind which so many
// events are missed, and returns how long it took.
func (p *stormProcess) resume(t Target, gateways []gateway, dialers int, since string, missed int) (stormReport, error) {
	o := stormOrder{Gateways: t.Gateways, TLS: t.TLS != nil, Dialers: dialers, Since: since, Missed: missed}
	for _, g := range gateways {
		o.Tokens = append(o.Tokens, g.Token)
	}
	if err := json.NewEncoder(p.orders).Encode(o); err != nil {
		return stormReport{}, err
	}
	return p.report()
}

func (p *stormProcess) report() (r stormReport, err error) {
	if err := p.reports.Decode(&r); err != nil {
		return r, fmt.Errorf("the storm's process: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// end has the storm hang up, and returns what was wrong with its connections.
func (p *stormProcess) end() error {
	_ = p.orders.Close()
	_, err := p.report()
	return errors.Join(err, p.cmd.Wait())
}

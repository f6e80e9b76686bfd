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

// A stormOrder is the first line on the standard input of a storm process. At the end of its input
// the process closes its connections.
type stormOrder struct {
	Gateways string   `json:"gateways"` // host:port
	TLS      bool     `json:"tls"`
	Tokens   []string `json:"tokens"` // one per connection
	Dialers  int      `json:"dialers"`
	Since    string   `json:"since,omitempty"`  // the position of all gateways
	Missed   int      `json:"missed,omitempty"` // missed events of each gateway
}

// A stormReport is a line on its standard output: one when all are connected, and one at the end.
type stormReport struct {
	Took  time.Duration `json:"took"` // until the last ack
	Live  time.Duration `json:"live"` // until the last missed event
	Error string        `json:"error,omitempty"`
}

// ServeStorm connects as [StormBeside] orders on in, and reports on out. It is the main function of
// the process that [StormBesideConfig] names.
func ServeStorm(in io.Reader, out io.Writer) error {
	orders := json.NewDecoder(in)
	var o stormOrder
	if err := orders.Decode(&o); err != nil {
		return fmt.Errorf("cannot read the order: %w", err)
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
	_, _ = io.Copy(io.Discard, in) // until the parent closes it
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

// clientTLS returns the TLS config of gateways. It does not verify the chain of the test server,
// which would only cost the load CPU time.
func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
}

// A stormProcess is a storm in another process.
type stormProcess struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	reports *json.Decoder
}

// startStorm starts the process with the lowest priority, so that it does not take CPU time from
// the load that measures. A handshake costs the client as much as the server: a load that makes the
// handshakes itself would notice arrivals late.
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

// connect connects, and returns how long it took.
func (p *stormProcess) connect(t Target, gateways []gateway, dialers int) (time.Duration, error) {
	r, err := p.resume(t, gateways, dialers, "", 0)
	return r.Took, err
}

// resume connects gateways that all have the same position, after which each missed the same number
// of events. It returns how long that took.
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
		return r, fmt.Errorf("the storm process failed: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// end closes the storm's connections, and returns their errors.
func (p *stormProcess) end() error {
	_ = p.orders.Close()
	_, err := p.report()
	return errors.Join(err, p.cmd.Wait())
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsenv

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// processVariable makes a test binary run a NATS server instead of tests.
const processVariable = "GATECAST_TEST_NATS"

// A ProcessConfig says how a server in a process of its own runs.
type ProcessConfig struct {
	Name           string
	Port           int
	User, Password string
	Cluster        int // port for the other servers
	Routes         []string
	Store          string // folder
}

// Main runs a NATS server and does not return, in a process that [Process.Start] has started.
// A TestMain must call it first.
func Main() {
	text := os.Getenv(processVariable)
	if text == "" {
		return
	}
	if err := serve(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(text string) error {
	var c ProcessConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port,
		Cluster:  server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: c.Cluster},
		Username: c.User, Password: c.Password,
		JetStream: true, StoreDir: c.Store, NoLog: true, NoSigs: true,
	}
	for _, r := range c.Routes {
		u, err := url.Parse(r)
		if err != nil {
			return err
		}
		o.Routes = append(o.Routes, u)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}

// A Process is a NATS server in a process of its own.
type Process struct {
	Config ProcessConfig

	t   testing.TB
	cmd *exec.Cmd
}

// Start starts the server, also after it was killed.
func (p *Process) Start() {
	p.t.Helper()
	config, err := json.Marshal(p.Config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), processVariable+"="+string(config))
	dieWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startTimeout); ; <-tick.C {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", p.Config.Port))
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("NATS server %s does not start", p.Config.Name)
		}
	}
}

// Kill ends the server as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// StartProcesses starts a cluster of three servers that the test kills at its end.
func StartProcesses(t testing.TB, user, password string) []*Process {
	t.Helper()
	var routes []string
	list := make([]*Process, 3)
	for i := range list {
		c := ProcessConfig{
			Name: fmt.Sprint("nats", i), Port: FreePort(t), User: user, Password: password,
			Cluster: FreePort(t), Store: t.TempDir(),
		}
		routes = append(routes, fmt.Sprint("nats://127.0.0.1:", c.Cluster))
		list[i] = &Process{Config: c, t: t}
	}
	for _, p := range list {
		p.Config.Routes = routes
		p.Start()
		t.Cleanup(p.Kill)
	}
	return list
}

// URL returns the server's URL, with its user and password.
func (p *Process) URL() string {
	return fmt.Sprintf("nats://%s:%s@127.0.0.1:%d", p.Config.User, p.Config.Password, p.Config.Port)
}

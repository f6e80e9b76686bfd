// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gatecast/gatecast/test/testenv"
)

// natsVariable makes the test binary run a NATS server, so that the server can be killed.
const natsVariable = "GATECAST_CHAOS_NATS"

const (
	natsUser     = "gatecast"
	natsPassword = "p4ssword-of-nats"
)

// A natsConfig is the JSON value of natsVariable.
type natsConfig struct {
	Name          string
	Port, Cluster int
	Routes        []string
	Store         string
}

// serveNATS runs the NATS server of the test binary.
func serveNATS(text string) {
	var c natsConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port,
		Cluster:  server.ClusterOpts{Name: "chaos", Host: "127.0.0.1", Port: c.Cluster},
		Username: natsUser, Password: natsPassword,
		JetStream: true, StoreDir: c.Store, NoLog: true, NoSigs: true,
	}
	for _, r := range c.Routes {
		u, err := url.Parse(r)
		if err != nil {
			panic(err)
		}
		o.Routes = append(o.Routes, u)
	}
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.Start()
	s.WaitForShutdown()
}

// A natsServer is a server of a NATS cluster.
type natsServer struct {
	t      *testing.T
	config natsConfig
	cmd    *exec.Cmd
}

func (s *natsServer) start() {
	s.t.Helper()
	config, err := json.Marshal(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(os.Args[0])
	s.cmd.Env = append(os.Environ(), natsVariable+"="+string(config))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	testenv.Await(s.t, s.config.Name+" accepts connections", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.config.Port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// kill kills the server with SIGKILL.
func (s *natsServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// startNATS starts three servers and returns them with their URLs.
func startNATS(t *testing.T) (servers []*natsServer, urls string) {
	t.Helper()
	var routes, list []string
	for i := range 3 {
		c := natsConfig{Name: fmt.Sprint("nats", i), Port: port(freeAddress(t)), Cluster: port(freeAddress(t)), Store: t.TempDir()}
		routes = append(routes, fmt.Sprint("nats://127.0.0.1:", c.Cluster))
		list = append(list, fmt.Sprintf("nats://%s:%s@127.0.0.1:%d", natsUser, natsPassword, c.Port))
		servers = append(servers, &natsServer{t: t, config: c})
	}
	for _, s := range servers {
		s.config.Routes = routes
		s.start()
		t.Cleanup(s.kill)
	}
	return servers, strings.Join(list, ",")
}

func port(address string) (port int) {
	_, text, _ := strings.Cut(address, ":")
	_, _ = fmt.Sscan(text, &port)
	return port
}

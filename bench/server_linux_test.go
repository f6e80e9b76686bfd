// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program returns the path of a shell script that is used as the server.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatecast")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const started = `echo '{"msg":"node started","gateways":"127.0.0.1:1","internal":"127.0.0.1:2"}' >&2`

func TestStartServerFails(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
	}{
		{"it ends at once", "echo 'gatecast: --listen: taken' >&2; exit 1", "--listen: taken"},
		{"it has no admin token", started + "; exec sleep 60", "admin.token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := StartServer(t.Context(), ServerConfig{Binary: program(t, tt.script), Folder: t.TempDir(), Connections: 1})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("no such program", func(t *testing.T) {
		_, err := StartServer(t.Context(), ServerConfig{Binary: "/does/not/exist", Folder: t.TempDir()})
		if err == nil {
			t.Error("no error")
		}
	})
	t.Run("it is called off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := StartServer(ctx, ServerConfig{Binary: program(t, "exec sleep 60"), Folder: t.TempDir()})
		if err == nil {
			t.Error("no error")
		}
	})
}

// The server must not get settings from the environment.
func TestServerCommandEnvironment(t *testing.T) {
	t.Setenv("GATECAST_SHARDS", "7")
	t.Setenv("WS_MAX_CONNECTIONS", "7")
	t.Setenv("KEPT", "7")
	var one CPUSet
	one.Set(0)
	env := strings.Join(serverCommand(t.Context(), ServerConfig{CPUs: &one}, "data").Env, "\n") + "\n"
	for variable, want := range map[string]bool{
		"GATECAST_SHARDS=7\n": false, "WS_MAX_CONNECTIONS=7\n": false,
		"KEPT=7\n": true, "GOMAXPROCS=1\n": true,
	} {
		if strings.Contains(env, variable) != want {
			t.Errorf("%q in the environment: %t; want %t", variable, !want, want)
		}
	}
}

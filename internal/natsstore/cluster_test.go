// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatecast/gatecast/test/testenv/natsenv"
)

// No error and no log line contains a password, whatever the form of the URL.
func TestClusterSecrets(t *testing.T) {
	port := natsenv.FreePort(t)
	for _, c := range []struct{ name, url string }{
		{"password", "nats://user:s3cret@127.0.0.1:%d"},
		{"without a scheme", "user:s3cret@127.0.0.1:%d"},
		{"token", "nats://s3cret@127.0.0.1:%d"},
		{"not a URL", "nats://user:s3cret%%zz@127.0.0.1:%d"},
		{"second", "nats://127.0.0.1:%[1]d,nats://user:s3cret@127.0.0.1:%[1]d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var logged strings.Builder
			_, err := openLog(t.Context(), Config{URL: fmt.Sprintf(c.url, port), Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if err == nil {
				t.Fatal("it opened")
			}
			if text := err.Error() + logged.String(); strings.Contains(text, "s3cret") {
				t.Errorf("logged or returned: %s", text)
			}
			if host := fmt.Sprint("127.0.0.1:", port); c.name != "not a URL" && !strings.Contains(err.Error(), host) {
				t.Errorf("%q does not name %s", err, host)
			}
			if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "; ") {
				t.Errorf("%q does not say in one line what to do", err)
			}
		})
	}
}

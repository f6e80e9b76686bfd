// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package listen

import (
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/test/testenv"
)

// A failingListener fails with its errors, one per call, and then accepts.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return nil, nil
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

func TestRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := testenv.NewLog(t)
		counted := make(map[string]int)
		failing := &failingListener{}
		for range 20 {
			failing.errs = append(failing.errs, syscall.EMFILE)
		}
		l := &Retrying{failing, "internal", func(errno string) { counted[errno]++ }, slog.New(slog.NewTextHandler(log, nil))}
		began := time.Now()
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("20 failures took %v", took)
		}
		if counted["EMFILE"] != 20 || len(counted) != 1 {
			t.Errorf("counted %v", counted)
		}
		if n := strings.Count(log.String(), "cannot accept"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
		failing.errs = []error{syscall.EINVAL}
		if _, err := l.Accept(); err == nil {
			t.Error("a permanent error was retried")
		}
	})
}

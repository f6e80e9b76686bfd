// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatecast/gatecast/stats/metrics"
	"github.com/gatecast/gatecast/test/testenv"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A failingListener fails with its errors, one a call, and then accepts.
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

func TestPatientListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := testenv.NewLog(t)
		counts := metrics.NewNode("test")
		failing := &failingListener{}
		for range 20 {
			failing.errs = append(failing.errs, syscall.EMFILE)
		}
		l := &patientListener{failing, "internal", counts, slog.New(slog.NewTextHandler(log, nil))}
		began := time.Now()
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("20 failures took %v", took)
		}
		if n := testutil.ToFloat64(counts.AcceptErrors.WithLabelValues("internal", "EMFILE")); n != 20 {
			t.Errorf("%v counted", n)
		}
		if n := strings.Count(log.String(), "accepting fails"); n != 1 {
			t.Errorf("told %d times:\n%s", n, log)
		}
		failing.errs = []error{syscall.EINVAL}
		if _, err := l.Accept(); err == nil {
			t.Error("a listener that is closed was tried again")
		}
	})
}

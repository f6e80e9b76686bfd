// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// imported is a line of a file to import: a gateway whose token the platform made.
func imported(id, token string) string {
	return fmt.Sprintf(`{"id":%q,"name":"n","organizationId":"","groups":[],"createdAt":"2021-02-03T04:05:06.000000000Z","tokens":[{"id":"t-%s","sha256":"%x","createdAt":"2021-02-03T04:05:06.000000000Z"}]}`,
		id, id, sha256.Sum256([]byte(token)))
}

// A fleet is imported from a file, its gateways connect with the tokens that they have, and
// an export into another node gives the same.
func TestGatewayImport(t *testing.T) {
	const token = "made-by-the-platform-{0123456789}"
	o := newOperator(t)
	o.logs.Hide("a gateway's token", token)
	file := imported("a", token) + "\n" + imported("b", token+"b") + "\n"
	path := writeFile(t, "fleet.ndjson", file)
	answers := func(result string) string {
		return fmt.Sprintf(`{"line":1,"id":"a","result":%q}`+"\n"+`{"line":2,"id":"b","result":%q}`+"\n", result, result)
	}
	for _, result := range []string{"created", "unchanged"} {
		if code, out, errs := gatecast("", "gateway", "import", path); code != 0 || out != answers(result) || errs != "" {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
	}
	code, exported, errs := gatecast("", "gateway", "export")
	if code != 0 || exported != file || errs != "" {
		t.Fatalf("exit %d: %s%s", code, exported, errs)
	}
	ctx, stop := context.WithCancel(t.Context())
	states := make(lineWriter, 100)
	tail := tailCmd{URL: "wss://" + o.node.GatewayAddr().String(), Token: token, Insecure: true}
	ended := make(chan error)
	go func() { ended <- tail.Run(ctx, world{nil, io.Discard, io.MultiWriter(o.logs, states)}) }()
	if line := <-states; !strings.Contains(line, "connected as gateway a") {
		t.Errorf("tail says %q", line)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("tail ends with %v", err)
	}

	bad := file + "{\"id\":\"c\",\"name\":\"c\",\"tokens\":[{\"sha256\":\"xyz\"}]}\n"
	code, out, errs := gatecast(bad, "gateway", "import", "-")
	if code != 1 || !strings.Contains(out, `{"line":3,"error":"invalid_gateway"`) || !strings.Contains(out, `"field":"tokens[0].sha256"`) || errs != "gatecast: lines not imported: 1; the output has an error for each\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for _, c := range []struct{ file, says string }{
		{"/nowhere/fleet.ndjson", "no such file"},
		{writeFile(t, "wide.ndjson", "\xff\xfe{\x00}\x00"), "it is UTF-16"},
	} {
		if code, _, errs := gatecast("", "gateway", "import", c.file); code != 1 || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d: %s", c.file, code, errs)
		}
	}

	newOperator(t) // another node
	if code, out, errs := gatecast(exported, "gateway", "import", "-"); code != 0 || out != answers("created") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if _, again, _ := gatecast("", "gateway", "export"); again != exported {
		t.Errorf("exported %s\nwant %s", again, exported)
	}
}

// On a terminal only errors and the totals are printed, and progress after a second.
func TestImportForPeople(t *testing.T) {
	var out, shown strings.Builder
	r := importRun{w: world{out: &out}, brief: true, counts: make(map[string]int), progress: &progress{out: &shown}}
	for _, line := range []string{
		`{"line":1,"id":"a","result":"created"}`,
		`{"line":2,"error":"invalid_gateway","message":"name: is missing","field":"name"}`,
	} {
		r.progress.show("%d gateways", 1)
		if err := r.answer([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "line 2: invalid_gateway: name: is missing\n" || r.refused != 1 || r.counts["created"] != 1 {
		t.Errorf("printed %q, %+v", out.String(), r)
	}
	if got, want := shown.String(), "\r\x1b[K1 gateways\r\x1b[K"; got != want {
		t.Errorf("showed %q; want %q", got, want)
	}
	quiet := newProgress(world{err: &shown})
	quiet.next = time.Time{}
	quiet.show("x")
	if quiet.shown {
		t.Error("progress is shown where there is no terminal")
	}
	if r.answer([]byte("<html>")) == nil {
		t.Error("an answer that is no JSON is accepted")
	}
}

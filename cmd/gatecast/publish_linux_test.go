// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// What is published is what the file or the line says, whatever editor wrote it.
func TestPublishReadsText(t *testing.T) {
	o := newOperator(t)
	publish := []string{"publish", "--all", "--type", "t"}
	for _, c := range []struct{ name, text, want string }{
		{"plain.json", `{"a":"<b>&\u2028é"}`, `"payload":{"a":"<b>&\u2028é"}`},
		{"mark.json", "\ufeff[1]", `"payload":[1]`},
	} {
		o.run("", append(publish, "--payload-file", writeFile(t, c.name, c.text))...)
		if got := events(t); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{append(publish, "--payload-file", writeFile(t, "wide.json", "\xff\xfe{\x00}\x00")), "it is UTF-16"},
		{append(publish, "--payload-file", writeFile(t, "latin.json", "\n\"Z\xfcrich\"")), "line 2 is not valid UTF-8"},
		{append(publish, "--key", "Z\xfcrich"), `the argument "Z\xfcrich" is not valid UTF-8`},
		{append(publish, "--correlation-id", "Z\xfcrich"), `the argument "Z\xfcrich" is not`},
		{append(publish, "--payload", "\"Z\xfcrich\""), "is not valid UTF-8"},
		{[]string{"gateway", "add", "Z\xfcrich"}, "is not valid UTF-8"},
	} {
		if code, out, errs := gatecast("", c.args...); code == 0 || !strings.Contains(errs, c.says) {
			t.Errorf("%q: exit %d, %s%s, want %q", c.args, code, out, errs, c.says)
		}
	}
}

// events returns the retained events, as the node has them.
func events(t *testing.T) string {
	t.Helper()
	f := adminFlags{InternalURL: os.Getenv("GATECAST_INTERNAL_URL"), AdminTokenFile: os.Getenv("GATECAST_ADMIN_TOKEN_FILE")}
	answer, err := f.do(t.Context(), http.MethodGet, apiRoot+"/events", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Close() }()
	text, err := io.ReadAll(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPublishStdinReadsText(t *testing.T) {
	newOperator(t)
	const line = `{"all":true,"type":"t"}`
	code, out, errs := gatecast("\ufeff"+line+"\r\n\ufeff"+line+"\n"+line, "publish", "--stdin")
	if code != 0 || strings.Count(out, `"id":`) != 3 || strings.Contains(out, "error") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for _, mark := range []string{"\xff\xfe", ""} {
		wide := mark + strings.ReplaceAll(line+"\n", "", "\x00")[1:]
		if code, out, errs := gatecast(wide, "publish", "--stdin"); code == 0 || !strings.Contains(errs, "standard input: it is UTF-16") {
			t.Errorf("UTF-16: exit %d: %s%s", code, out, errs)
		}
	}
}

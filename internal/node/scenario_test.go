// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatecast/gatecast/internal/event"
	"github.com/gatecast/gatecast/internal/eventlog"
	"github.com/gatecast/gatecast/internal/settings"

	"github.com/coder/websocket"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios give into their files")

// The protocol as conversations: each file of testdata/scenarios is a node's life
// as its gateways and its platform see it. A paragraph is a command, ---- and
// what it gives. What differs from run to run has other words for it: epochs
// are E (of events) and M (of messages), connections C, times T. Commands:
//
//	gateway ID [GROUP]…        registers one
//	remove ID                  removes it
//	publish JSON               publishes, and gives the receipt
//	header NAME: VALUE         goes with the next publish or connect
//	connect NAME GATEWAY [?QUERY]  gives the ack, or the refusal
//	recv NAME [N]              gives the next N frames, or how it was closed
//	send NAME JSON             sends a text
//	close NAME                 sends a close frame
//	get PATH                   asks the internal route until the answer is as it stands here
//	restart                    drains the node and starts it on the same folder
//	anew                       does that with the folder gone
//	trim                       takes every event out of the log, as retention does
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScenario(t)
			got := s.play(string(text))
			switch {
			case got == string(text):
			case *rewrite:
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("%s gives something else (run with -rewrite to have it written):\n%s", file, got)
			}
		})
	}
}

// A scenario is one being played.
type scenario struct {
	*system
	t      *testing.T
	config Config
	tokens map[string]string // by gateway
	conns  map[string]described
	header http.Header // of the next request
}

func newScenario(t *testing.T) *scenario {
	s := &scenario{t: t, config: config(t), tokens: map[string]string{}, conns: map[string]described{}, header: http.Header{}}
	s.config.Log = settings.LogFile
	s.system = start(t, s.config)
	return s
}

// play does every command, and returns the text with what each gives.
func (s *scenario) play(text string) string {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		if strings.HasPrefix(paragraph, "#") {
			b.WriteString(paragraph + "\n")
			continue
		}
		command, want, _ := strings.Cut(paragraph, "\n----")
		b.WriteString(command + "\n----\n")
		var got string
		for line := range strings.SplitSeq(command, "\n") {
			got += s.do(line, strings.TrimPrefix(want, "\n"))
		}
		b.WriteString(got)
	}
	return b.String()
}

// do does one command and returns what it gives, with a line's end.
func (s *scenario) do(line, want string) string {
	s.t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	words := strings.Fields(rest)
	switch verb {
	case "gateway":
		s.tokens[words[0]], _ = s.gateway(words[0], words[1:]...)
		return ""
	case "remove":
		return s.ask("DELETE", "/gateways/"+rest, "")
	case "header":
		name, value, _ := strings.Cut(rest, ":")
		s.header.Set(name, s.real(strings.TrimSpace(value)))
		return ""
	case "publish":
		return s.ask("POST", "/events", rest)
	case "get":
		return s.await(rest, want)
	case "connect":
		return s.connectAs(words[0], words[1], strings.Join(words[2:], ""))
	case "recv":
		n := 1
		if len(words) > 1 {
			_, _ = fmt.Sscan(words[1], &n)
		}
		var b strings.Builder
		for range n {
			b.WriteString(s.recv(words[0]))
		}
		return b.String()
	case "send":
		name, message, _ := strings.Cut(rest, " ")
		if err := s.conns[name].Write(s.t.Context(), websocket.MessageText, []byte(s.real(message))); err != nil {
			return err.Error() + "\n"
		}
		return ""
	case "close":
		_ = s.conns[rest].Close(websocket.StatusNormalClosure, "")
		return ""
	case "restart", "anew":
		for _, c := range s.conns {
			_ = c.CloseNow() // nobody reads its close frame
		}
		s.drain()
		if verb == "anew" {
			for _, name := range []string{"log", "log.json"} {
				if err := os.RemoveAll(filepath.Join(s.config.DataDir, name)); err != nil {
					s.t.Fatal(err)
				}
			}
		}
		s.system = start(s.t, s.config)
		return ""
	case "trim":
		if err := s.log.Purge(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		return ""
	}
	s.t.Fatalf("unknown command %q", line)
	return ""
}

// ask asks the internal route.
func (s *scenario) ask(method, path, body string) string {
	req, err := http.NewRequest(method, "http://"+s.InternalAddr().String()+root+s.real(path), strings.NewReader(s.real(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = s.header
	s.header = http.Header{}
	req.Header.Set("Authorization", "Bearer "+s.admin)
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", s.shown(b.String()))) + "\n"
}

// await asks until the answer is the one that is wanted: what gateways have
// received and said is known a moment later.
func (s *scenario) await(path, want string) (got string) {
	patience := 10 * time.Second
	if *rewrite {
		patience = 2 * time.Second
	}
	for deadline := time.Now().Add(patience); ; {
		got = s.ask("GET", path, "")
		if strings.TrimSpace(got) == strings.TrimSpace(want) || time.Now().After(deadline) {
			return got
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// connectAs connects as a gateway.
func (s *scenario) connectAs(name, gateway, query string) string {
	s.dispatched()
	header := s.header
	s.header = http.Header{}
	header.Set("api-key", s.tokens[gateway])
	c, resp, err := websocket.Dial(s.t.Context(), s.url()+s.real(query), &websocket.DialOptions{
		HTTPHeader: header,
		HTTPClient: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
		}},
	})
	if err != nil {
		var b bytes.Buffer
		if resp != nil {
			_, _ = b.ReadFrom(resp.Body)
			return fmt.Sprintf("%d %s\n", resp.StatusCode, b.String())
		}
		return err.Error() + "\n"
	}
	s.t.Cleanup(func() { c.CloseNow() })
	s.conns[name] = described{c, s.t}
	return s.recv(name)
}

// recv returns the next frame.
func (s *scenario) recv(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, b, err := s.conns[name].Read(ctx)
	if code := websocket.CloseStatus(err); code != -1 {
		return fmt.Sprintf("closed with %d\n", code)
	}
	if err != nil {
		return err.Error() + "\n"
	}
	return s.shown(string(b)) + "\n"
}

var (
	shownTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z`)
	shownUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// shown returns a text with words for what differs from run to run.
func (s *scenario) shown(text string) string {
	text = shownTime.ReplaceAllString(text, "T")
	text = shownUUID.ReplaceAllString(text, "C")
	for name, l := range s.lineages() {
		text = positionText.ReplaceAllStringFunc(text, func(position string) string {
			if c, err := event.ParseCursor(position); err == nil && l.Contains(c) {
				return fmt.Sprintf("%s-%d", name, c.Seq)
			}
			return position
		})
	}
	return text
}

var (
	positionText = regexp.MustCompile(`[0-9a-z]{8,13}-\d+`)
	shownText    = regexp.MustCompile(`\b[EM]-\d+`)
)

// real is the inverse of shown for positions.
func (s *scenario) real(text string) string {
	lineages := s.lineages()
	return shownText.ReplaceAllStringFunc(text, func(shown string) string {
		name, number, _ := strings.Cut(shown, "-")
		seq, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return lineages[name].CursorOf(seq).String()
	})
}

// lineages returns those of the events and of the messages.
func (s *scenario) lineages() map[string]*eventlog.Lineage {
	messages, err := s.recorder.MessagesLineage(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return map[string]*eventlog.Lineage{"E": s.log.Lineage(), "M": messages}
}

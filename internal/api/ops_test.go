// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gatecast/gatecast/internal/event"
)

func TestOpsFiles(t *testing.T) {
	r := start(t)
	for path, want := range map[string]struct{ contentType, begins string }{
		"/":        {"text/html; charset=utf-8", "<!DOCTYPE html>"},
		"/ops.css": {"text/css; charset=utf-8", "/* Copyright"},
		"/ops.js":  {"text/javascript; charset=utf-8", "// Copyright"},
	} {
		req := r.request("GET", path, http.NoBody)
		req.Header.Del("Authorization")
		got := r.send(req)
		if got.status != 200 || !strings.HasPrefix(got.body, want.begins) {
			t.Errorf("%s: %d %.40s", path, got.status, got.body)
		}
		for name, value := range map[string]string{
			"Content-Type":            want.contentType,
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"X-Content-Type-Options":  "nosniff",
			"X-Frame-Options":         "DENY",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-cache",
		} {
			if got.header.Get(name) != value {
				t.Errorf("%s: %s: %q, want %q", path, name, got.header.Get(name), value)
			}
		}
	}
	req := r.request("GET", "/favicon.ico", http.NoBody)
	req.Header.Del("Authorization")
	if got := r.send(req); got.status != 404 {
		t.Errorf("favicon: %d %s", got.status, got.body)
	}
	if logged := r.logs.String(); logged != "" {
		t.Errorf("a visit is logged: %s", logged)
	}
}

// An opsPage is the ops page in a browser.
type opsPage struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex
	wrong []string // what the browser complained about
}

// browse opens the ops page in a browser that runs until the test ends.
func browse(t *testing.T, r *rig) *opsPage {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("this test drives the ops page in a browser, and there is no chromium in PATH")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.NoSandbox) // root has none; the page is ours
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	p := &opsPage{t: t, ctx: ctx}
	var listening sync.WaitGroup
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("the browser does not end: %v", err)
		}
		closeTab()
		stop()
		listening.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.wrong) > 0 {
			t.Errorf("the browser complains: %s", strings.Join(p.wrong, "\n"))
		}
	})
	messages := chromedp.Console(ctx)
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			// The browser reports each answer with an error status; the page handles those.
			if !strings.HasPrefix(m.Text, "Failed to load resource") {
				p.mu.Lock()
				p.wrong = append(p.wrong, fmt.Sprint(m.Type, ": ", m.Text))
				p.mu.Unlock()
			}
		}
	})
	p.do(chromedp.Navigate("http://" + r.addr + "/"))
	return p
}

func (p *opsPage) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// is waits until a JavaScript expression is true.
func (p *opsPage) is(expression string) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		yes, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		switch {
		case err != nil:
			p.t.Fatalf("%s: %v", expression, err)
		case yes:
			return
		case time.Now().After(end):
			p.t.Fatalf("timed out waiting until %s; the page shows:\n%s", expression, p.text())
		}
	}
}

func (p *opsPage) text() string {
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// says waits until the text of an element contains a text.
func (p *opsPage) says(selector, text string) {
	p.t.Helper()
	want, _ := json.Marshal(text)
	p.is(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%s)", selector, want))
}

func (p *opsPage) click(selector string) {
	p.t.Helper()
	p.is(fmt.Sprintf("document.querySelector(%q)?.disabled === false", selector))
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// enter types text into a field and presses Enter.
func (p *opsPage) enter(selector, text string) {
	p.t.Helper()
	empty := fmt.Sprintf("document.querySelector(%q).value = ''", selector)
	p.do(chromedp.Evaluate[chromedp.Void](empty), chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text+"\n"))
}

func TestOpsPageToken(t *testing.T) {
	r := start(t)
	p := browse(t, r)
	p.says("#state", "Ready")
	p.is("document.activeElement.id === 'token'")
	p.enter("#token", "not the token")
	p.says("#token-error", "no spaces")
	p.enter("#token", "wrong")
	p.says("#token-error", "does not accept this token")
	p.is("sessionStorage.length === 0")
	p.enter("#token", "a-publisher")
	p.says("#token-error", "lacks the scope read")
	p.enter("#token", "a-reader")
	p.says("#live", "Connections")
	p.says("#node-id", "n1")
	p.is("document.title === 'Ready · gatecast n1'")
	p.is("!document.getElementById('token-form').checkVisibility()")

	p.do(chromedp.Reload()) // the tab keeps it
	p.says("#live", "Connections")
	p.click("#forget")
	p.says("#token-form", "Admin token")
	p.is("sessionStorage.length === 0 && localStorage.length === 0 && document.cookie === ''")
	p.is("!location.href.includes('?')")
}

func TestOpsPageNumbers(t *testing.T) {
	r := start(t)
	s := r.cfg.Shards
	s[0].Connections.Set(1200)
	s[1].Connections.Set(300)
	s[0].Gateways.Set(1100)
	s[1].QueuedBytes.Set(5 << 10)
	s[1].Delivered.Add(7)
	s[1].Fail(event.FailedSlowConsumer, 3, time.Now())
	r.conns.n = 120
	hostile := `{"time":"2027-01-31T10:00:00Z","eventId":"n-7","type":"<b id=owned>a</b>","gatewayId":"<img src=x onerror=alert(1)>","correlationId":"c","reason":"slow_consumer","status":"failed"}`
	r.failures.all = append(r.failures.all, json.RawMessage(hostile))
	p := browse(t, r)
	p.enter("#token", adminToken)
	for selector, text := range map[string]string{
		"#connections": "1,500", "#gateways": "1,100", "#queued": "5.0 KiB", "#delivered": "7 since the start",
		"#failed": "3", "#last-failure": " s ago", "#last-reason": event.FailedSlowConsumer.Text(),
		"#shards tr:nth-child(2)": "300", "#node-facts": "version 1.2.3",
		"#failures": "<img src=x onerror=alert(1)>", "#failures td:nth-child(3)": "slow consumer",
	} {
		p.says(selector, text)
	}
	p.is("document.querySelector('#owned, td img') === null")
	p.is("document.querySelector('#shards tr:nth-child(2) i').style.width === '25%'")
	s[1].Delivered.Add(1000)
	p.is("/^[1-9]/.test(document.getElementById('rate').innerText)")

	p.says("#connections-note", "1,500 connections")
	p.is("document.querySelectorAll('#rows tr').length === 50")
	p.click("#next")
	p.says("#page", "Page 2")
	p.click("#next")
	p.says("#page", "Page 3")
	p.is("document.querySelectorAll('#rows tr').length === 20")
	p.is("document.getElementById('next').disabled")
	p.click("#previous")
	p.says("#page", "Page 2")

	p.enter("#filter", "not an id")
	p.says("#filter-error", "1 to 64 letters")
	p.enter("#filter", "g2")
	p.says("#connections-note", "Only gateway g2")
	p.says("#rows td", "g2")
	p.says("#page", "Page 1")
	r.conns.set(0)
	p.says("#rows", "Gateway g2 is registered but has no connection")
	p.enter("#filter", "g9")
	p.says("#rows", "is not registered")
	p.click("#filter-clear")
	p.says("#rows", "No gateway is connected")
}

func TestOpsPageClose(t *testing.T) {
	r := start(t)
	r.conns.n = 2
	p := browse(t, r)
	p.enter("#token", "a-reader")
	p.click("#rows tr:nth-child(2) button")
	p.says("#close-dialog", fakeConnectionID(1).String())
	p.click("#close-yes")
	p.says("#notice", "cannot close connections")
	p.is("!document.querySelector('#rows button').checkVisibility()")
	p.click("#forget")

	p.enter("#token", adminToken)
	p.click("#rows tr:nth-child(2) button")
	p.click("#close-no")
	p.is("!document.getElementById('close-dialog').open && document.activeElement.innerText === 'Close'")
	p.click("#rows tr:nth-child(2) button")
	p.click("#close-yes")
	p.says("#notice", "Closed the connection of g1")
	r.conns.mu.Lock()
	defer r.conns.mu.Unlock()
	if len(r.conns.closed) != 1 || r.conns.closed[0] != fakeConnectionID(1) {
		t.Errorf("closed %v", r.conns.closed)
	}
}

func TestOpsPageProblems(t *testing.T) {
	var trouble atomic.Pointer[string]
	r := start(t, func(c *Config, _ *limits) {
		c.Ready = func(context.Context) error {
			if why := trouble.Load(); why != nil {
				return errors.New(*why)
			}
			return nil
		}
	})
	p := browse(t, r)
	p.enter("#token", adminToken)
	p.says("#state", "Ready")
	trouble.Store(new("the event log cannot be read"))
	p.says("#state", "Not ready")
	p.says("#banner", "the event log cannot be read")
	trouble.Store(new("draining"))
	p.says("#state", "Draining")
	p.says("#banner", "accepts no new connections")
	trouble.Store(nil)
	p.says("#state", "Ready")
	p.is("document.getElementById('banner').hidden")
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.says("#state", "Unreachable")
	p.says("#banner", "The data below is from")
	p.is("document.querySelector('#live.stale') !== null")
}

// A narrow screen needs no horizontal scrolling.
func TestOpsPageNarrow(t *testing.T) {
	r := start(t)
	r.conns.n = 3
	r.failures.add(3)
	p := browse(t, r)
	p.do(chromedp.EmulateViewport(400, 800))
	p.enter("#token", adminToken)
	p.says("#rows", "g1")
	p.says("#failures", "not connected")
	p.is("document.documentElement.scrollWidth <= 400")
}

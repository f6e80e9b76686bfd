// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

// Command screenshots takes the pictures of the documents. It runs the demo, opens its ops page in a
// headless browser, and writes PNG files. `make screenshots` calls it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"
)

// The pictures: the page as a desk and as a phone show it. Sizes are CSS pixels.
var pictures = []struct {
	file          string
	width, height int64
}{
	{"ops-desk.png", 1280, 880},
	{"ops-phone.png", 390, 844},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("screenshots: ")
	out := flag.String("out", "docs/images", "`FOLDER` for the PNG files")
	browser := flag.String("browser", "chromium", "`PROGRAM` that takes the pictures")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx, *out, *browser); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out, browser string) error {
	program, err := exec.LookPath(browser)
	if err != nil {
		return fmt.Errorf("a browser is needed, on Debian the package chromium: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	d, err := startDemo(ctx)
	if err != nil {
		return err
	}
	defer d.stop()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.NoSandbox) // root has none; the page is ours
	allocator, stop := chromedp.NewExecAllocator(ctx, options...)
	defer stop()
	tab, closeTab := chromedp.NewContext(allocator)
	defer closeTab()
	if err := signIn(tab, d); err != nil {
		return err
	}
	for _, p := range pictures {
		if err := chromedp.Do(tab, chromedp.EmulateViewport(p.width, p.height)); err != nil {
			return err
		}
		if err := waitUntil(tab, fmt.Sprintf("innerWidth === %d && /^[1-9]|^0\\.[1-9]/.test(document.getElementById('rate').innerText)", p.width)); err != nil {
			return err
		}
		png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
		if err != nil {
			return err
		}
		if png, err = shrink(png); err != nil {
			return err
		}
		name := filepath.Join(out, p.file)
		if err := os.WriteFile(name, png, 0o644); err != nil {
			return err
		}
		log.Printf("%s: %d KiB", name, len(png)>>10)
	}
	return nil
}

// A demo is a running `gatecast demo`.
type demo struct {
	cmd        *exec.Cmd
	url, token string
	drained    chan struct{} // closed at the end of its output
}

var opsLine = regexp.MustCompile(`^The ops page is at (\S+) and .* (\S+)$`)

// startDemo starts the demo and waits until it publishes.
func startDemo(ctx context.Context) (*demo, error) {
	dir, err := os.MkdirTemp("", "gatecast-screenshots-")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "gatecast")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/gatecast").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	d := &demo{cmd: exec.CommandContext(ctx, program, "demo", "--every", "200ms"), drained: make(chan struct{})}
	d.cmd.Stderr = os.Stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	for d.url == "" && lines.Scan() {
		if m := opsLine.FindStringSubmatch(lines.Text()); m != nil {
			token, err := os.ReadFile(m[2])
			if err != nil {
				return nil, err
			}
			d.url, d.token = m[1], strings.TrimSpace(string(token))
		}
	}
	if d.url == "" {
		return nil, errors.New("the demo has not printed the address of the ops page")
	}
	go func() {
		defer close(d.drained)
		for lines.Scan() { // so that the demo never waits for its reader
		}
	}()
	return d, nil
}

// stop ends the demo and removes its program.
func (d *demo) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.drained
	_ = d.cmd.Wait()
	os.RemoveAll(filepath.Dir(d.cmd.Path))
}

// signIn opens the ops page and enters the token.
func signIn(tab context.Context, d *demo) error {
	field := chromedp.CSS("#token")
	if err := chromedp.Do(tab, chromedp.Navigate(d.url), chromedp.WaitVisible(field), chromedp.SendKeys(field, d.token+"\n")); err != nil {
		return err
	}
	return waitUntil(tab, "document.querySelectorAll('#rows tr').length === 3")
}

// waitUntil waits until a JavaScript expression is true on the page.
func waitUntil(tab context.Context, expression string) error {
	for {
		yes, err := chromedp.Run(tab, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err != nil {
			return fmt.Errorf("%s: %w", expression, err)
		}
		if yes {
			return nil
		}
		if err := chromedp.Do(tab, chromedp.Sleep(100*time.Millisecond)); err != nil {
			return fmt.Errorf("waited until %s: %w", expression, err)
		}
	}
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/gatecast/gatecast/internal/strict"
)

// A gatewayImportCmd registers the gateways of a file: POST /gateways with newline-delimited
// JSON.
type gatewayImportCmd struct {
	adminFlags
	File string `arg:"" help:"File with one gateway per line as JSON; - is standard input." placeholder:"FILE"`
}

// Run streams the file to the node. The answers are printed as they come; on a terminal only
// those of lines that were not imported. An invalid line stops nothing; the command fails at
// the end if there was one.
func (c *gatewayImportCmd) Run(ctx context.Context, w world) error {
	in, size, err := c.open(w)
	if err != nil {
		return err
	}
	defer in.Close()
	text := bufio.NewReader(in)
	head, _ := text.Peek(2) // a shorter file is no UTF-16
	if _, err := strict.Unmark(head); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	sent := &countingReader{Reader: text}
	response, err := c.do(ctx, http.MethodPost, apiRoot+"/gateways", "application/x-ndjson", sent)
	if err != nil {
		return err
	}
	defer response.Close()
	run := importRun{w: w, progress: newProgress(w)}
	_, run.brief = asTerminal(w.out)
	err = run.answers(bufio.NewReader(response), func() string {
		if size <= 0 {
			return ""
		}
		return fmt.Sprintf(" (%d%%)", 100*sent.n.Load()/size)
	})
	run.progress.clear()
	if err != nil {
		return err
	}
	if run.brief {
		fmt.Fprintf(w.out, "created %d, updated %d, unchanged %d, refused %d\n",
			run.counts["created"], run.counts["updated"], run.counts["unchanged"], run.refused)
	}
	if run.refused > 0 {
		return fmt.Errorf("lines not imported: %d; the output has an error for each", run.refused)
	}
	return nil
}

// open returns the input and its size, 0 if that is not known.
func (c *gatewayImportCmd) open(w world) (io.ReadCloser, int64, error) {
	if c.File == "-" {
		return io.NopCloser(w.in), 0, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, err
	}
	size := int64(0)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// An importRun prints the answers to an import.
type importRun struct {
	w        world
	progress *progress
	brief    bool // for people: only the errors are printed
	counts   map[string]int
	refused  int
}

// An importAnswer is the answer to one line.
type importAnswer struct {
	Line    int    `json:"line"`
	ID      string `json:"id"`
	Result  string `json:"result"`
	Error   string `json:"error"`
	Message string `json:"message"`
}

// answers prints all answers. percent says how much of the input was sent.
func (r *importRun) answers(lines *bufio.Reader, percent func() string) error {
	r.counts = make(map[string]int)
	for done := 1; ; done++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("the node's response ended early; import the file again, which changes nothing that was imported: %w", err)
		}
		if err := r.answer(line); err != nil {
			return err
		}
		r.progress.show("%d gateways%s, %d refused", done, percent(), r.refused)
	}
}

// answer prints one answer.
func (r *importRun) answer(line []byte) error {
	var a importAnswer
	if err := json.Unmarshal(line, &a); err != nil {
		return errors.New("the node's response is not that of an import; is it an older version?")
	}
	if a.Error == "" {
		r.counts[a.Result]++
	} else {
		r.refused++
	}
	if !r.brief {
		_, err := r.w.out.Write(append(bytes.TrimSpace(line), '\n'))
		return err
	}
	if a.Error == "" {
		return nil
	}
	r.progress.clear()
	_, err := fmt.Fprintf(r.w.out, "line %d: %s: %s\n", a.Line, a.Error, a.Message)
	return err
}

// A countingReader counts the bytes that were read. Any goroutine can load the count.
type countingReader struct {
	io.Reader
	n atomic.Int64
}

// Read implements [io.Reader].
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// A gatewayExportCmd prints all gateways in the form that an import takes: GET /gateways for
// newline-delimited JSON. It has the SHA-256 of tokens, never tokens.
type gatewayExportCmd struct {
	adminFlags
}

// Run prints gateways as they come.
func (c *gatewayExportCmd) Run(ctx context.Context, w world) error {
	response, err := c.do(ctx, http.MethodGet, apiRoot+"/gateways", "application/x-ndjson", nil)
	if err != nil {
		return err
	}
	defer response.Close()
	_, onTerminal := asTerminal(w.out)
	p, lines := newProgress(w), bufio.NewReaderSize(response, 64<<10)
	defer p.clear()
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if _, err := w.out.Write(line); err != nil {
			return err
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, bufio.ErrBufferFull): // the rest of the line follows
			n--
		case err != nil:
			return fmt.Errorf("the node's response ended early; what was printed is incomplete: %w", err)
		}
		if !onTerminal {
			p.show("%d gateways", n)
		}
	}
}

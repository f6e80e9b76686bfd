// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/hex"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatecast/gatecast/auth"
	"github.com/gatecast/gatecast/internal/event"

	"github.com/valyala/fasthttp"
)

// importsInFlight is how many lines of one import are stored at the same time. More
// would only make each of them wait longer for the disk.
const importsInFlight = 64

// importRetry is the pause before the registry is asked again whether it is in sync.
const importRetry = 250 * time.Millisecond

// importLineLimit is the longest line of an import, in bytes. A gateway with 64
// groups and two tokens has a tenth of it.
const importLineLimit = 64 << 10

// putGateway is PUT /gateways/{id}: it creates or changes a gateway.
func (s *Server) putGateway(ctx *fasthttp.RequestCtx) error {
	id, err := gatewayParam(ctx)
	if err != nil {
		return err
	}
	var g gatewayBody
	err = s.withBody(ctx, func(b []byte) (err error) {
		g, err = parseGateway(b)
		return err
	})
	if err != nil {
		return err
	}
	auditOf(ctx).add("gateway", id)
	if g.id != "" && g.id != id {
		return invalid(codeInvalidGateway, &event.FieldError{Field: "id", Problem: "is not the id of the path; an id cannot be changed"})
	}
	c, cancel := s.manageContext()
	defer cancel()
	im, err := s.cfg.Registry.BeginImport(c)
	if err != nil {
		return registryProblem(err, codeInvalidGateway)
	}
	now, done, err := im.Put(c, id, g.change)
	if err != nil {
		return registryProblem(err, codeInvalidGateway)
	}
	auditOf(ctx).add("result", done.String())
	if done == auth.Created {
		return answer(ctx, fasthttp.StatusCreated, now)
	}
	return answer(ctx, fasthttp.StatusOK, now)
}

// importGateways is POST /gateways with newline-delimited JSON.
func (s *Server) importGateways(ctx *fasthttp.RequestCtx) {
	a := auditOf(ctx)
	a.action = "gateway.import"
	s.startBulk(ctx, &bulk{
		imports: &gatewayImport{s: s, last: make(map[string]<-chan struct{})},
		lines:   newLineReader(bodyReader(ctx), importLineLimit),
	})
}

// A gatewayImport imports the lines of one request. Lines that were read
// together are imported at the same time, except that lines about one gateway or
// one token follow each other. It belongs to the goroutine of its bulk.
type gatewayImport struct {
	s      *Server
	batch  *importBatch               // of the lines that were read together; nil: none yet
	last   map[string]<-chan struct{} // by gateway id and by digest: done of the last line in flight
	counts [3]int                     // lines by outcome
	failed atomic.Bool                // the registry was out of reach for as long as a line waits
}

// An importBatch has the registry's import for lines that were read together. It
// is begun by the first of them.
type importBatch struct {
	once sync.Once
	im   *auth.Import
	err  error
}

// An importJob is a line that is being imported.
type importJob struct {
	id      string
	done    chan struct{} // closed when the fields below are set
	outcome auth.Outcome
	problem *problem
}

// newBatch is called before more input is read: what is read then was sent after
// the log's position of the batch before.
func (g *gatewayImport) newBatch() {
	g.batch = nil
	clear(g.last)
}

// start begins to import a line.
func (g *gatewayImport) start(text []byte) (*importJob, error) {
	body, err := parseGateway(text)
	job := &importJob{id: body.id, done: make(chan struct{})}
	if err != nil {
		return job, err
	}
	if g.batch == nil {
		g.batch = new(importBatch)
	}
	batch, after := g.batch, []<-chan struct{}(nil)
	follow := func(key string) {
		if last := g.last[key]; last != nil {
			after = append(after, last)
		}
		g.last[key] = job.done
	}
	follow(body.id)
	for _, t := range body.change.Tokens {
		follow("token " + string(t.SHA256[:]))
	}
	go func() {
		defer close(job.done)
		defer func() {
			if v := recover(); v != nil {
				g.s.logPanic("POST", prefix+"/gateways", v)
				job.problem = errPanicked
			}
		}()
		for _, done := range after {
			<-done
		}
		if err := g.importOne(batch, job, body.change); err != nil {
			job.problem = registryProblem(err, codeInvalidGateway)
		}
	}()
	return job, nil
}

// importOne imports one gateway.
func (g *gatewayImport) importOne(batch *importBatch, job *importJob, change auth.GatewayChange) error {
	c, cancel := context.WithTimeout(g.s.ctx, g.s.limits.imports)
	defer cancel()
	batch.once.Do(func() { batch.im, batch.err = g.begin(c) })
	if batch.err != nil {
		return batch.err
	}
	_, outcome, err := batch.im.Add(c, job.id, change)
	job.outcome = outcome
	return err
}

// begin begins a batch. While the registry is out of reach it waits, as on a disk that
// is busy, until ctx ends. After that the rest of the request waits no more.
func (g *gatewayImport) begin(ctx context.Context) (*auth.Import, error) {
	for {
		im, err := g.s.cfg.Registry.BeginImport(ctx)
		if err == nil || g.failed.Load() {
			return im, err
		}
		select {
		case <-time.After(importRetry):
		case <-ctx.Done():
			g.failed.Store(true)
			return nil, err
		}
	}
}

// answerImport waits until a line is imported, and appends its answer.
func (b *bulk) answerImport(dst []byte, f *inFlight) []byte {
	p := b.importResult(f)
	if p == nil {
		dst = append(dst, `{"line":`...)
		dst = strconv.AppendInt(dst, int64(f.line), 10)
		dst = append(dst, `,"id":`...)
		dst = event.AppendString(dst, f.imported.id)
		dst = append(dst, `,"result":"`...)
		dst = append(dst, f.imported.outcome.String()...)
		return append(dst, "\"}\n"...)
	}
	return appendRefusal(dst, f.line, p)
}

// importResult waits until a line is imported, and counts it.
func (b *bulk) importResult(f *inFlight) *problem {
	p := f.problem
	if p == nil {
		<-f.imported.done
		if p = f.imported.problem; p != nil {
			p = b.lineProblem(p)
		}
	}
	if p != nil {
		b.counts.refused++
		return p
	}
	b.imports.counts[f.imported.outcome]++
	return nil
}

// exportPage is how many gateways of an export are held at a time.
const exportPage = 500

// exportGateways is GET /gateways for newline-delimited JSON: all gateways in the
// form that an import takes.
func (s *Server) exportGateways(ctx *fasthttp.RequestCtx) error {
	c, cancel := s.manageContext()
	defer cancel()
	if err := s.cfg.Registry.CatchUp(c); err != nil {
		return unavailable("cannot list every gateway: %v", err)
	}
	a := auditOf(ctx)
	a.deferred = true
	noStore(ctx)
	ctx.SetContentType(typeNDJSON)
	s.answerStream(ctx, &gatewayExport{s: s, audit: a})
	return nil
}

// A gatewayExport makes the answer of an export.
type gatewayExport struct {
	s     *Server
	audit *auditRecord
	after string // id of the last gateway
	count int
	all   bool // every gateway was written
}

// produce implements [producer].
func (x *gatewayExport) produce(dst []byte) ([]byte, error) {
	page, next := x.s.cfg.Registry.Export(x.after, exportPage)
	for i := range page {
		dst = appendExported(dst, &page[i])
	}
	x.count += len(page)
	if x.after = next; next == "" {
		x.all = true
		return dst, io.EOF
	}
	return dst, nil
}

// Close implements [producer].
func (x *gatewayExport) Close() error {
	x.audit.add("gateways", x.count, "complete", x.all)
	x.s.logAudit(x.audit, nil)
	return nil
}

// appendExported appends a line of an export.
func appendExported(dst []byte, g *auth.ExportedGateway) []byte {
	dst = append(dst, `{"id":`...)
	dst = event.AppendString(dst, g.Gateway.ID)
	dst = append(dst, `,"name":`...)
	dst = event.AppendString(dst, g.Gateway.Name)
	dst = append(dst, `,"organizationId":`...)
	dst = event.AppendString(dst, g.Gateway.OrganizationID)
	dst = append(dst, `,"groups":[`...)
	for i, name := range g.Gateway.Groups {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendString(dst, name)
	}
	dst = append(dst, `],"createdAt":`...)
	dst = event.AppendTime(dst, g.Gateway.CreatedAt)
	dst = append(dst, `,"tokens":[`...)
	for i, t := range g.Tokens {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"id":`...)
		dst = event.AppendString(dst, t.ID)
		dst = append(dst, `,"sha256":"`...)
		dst = hex.AppendEncode(dst, t.SHA256[:])
		dst = append(dst, `","createdAt":`...)
		dst = event.AppendTime(dst, t.CreatedAt)
		if !t.ExpiresAt.IsZero() {
			dst = append(dst, `,"expiresAt":`...)
			dst = event.AppendTime(dst, t.ExpiresAt)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}\n"...)
}

// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"slices"
	"strings"
	"testing"
)

// importers lists, for each third-party module, the packages whose non-test files import it. A
// module has one importer. Each further importer needs a reason, after a colon.
var importers = parseImporters(`
github.com/KimMachineGun/automemlimit
	cmd/gatecast
github.com/alecthomas/kong
	cmd/gatecast
github.com/chromedp/chromedp
	test/screenshots
github.com/fasthttp/router
	internal/api
github.com/getkin/kin-openapi
	test/spectest
github.com/gobwas/ws
	frame
	client: a program that uses the client must not compile other packages of this module
github.com/google/uuid
	auth
	cmd/gatecast: correlation ids of the demo
	internal/api: correlation ids of events, and the ids in requests
	internal/front: makes connection ids
	internal/node: connection ids in messages between nodes
	internal/presence: connection ids in requests between nodes
	shard: connection ids, in the type uuid.UUID
	stats: connection ids, in the type uuid.UUID
github.com/hashicorp/golang-lru
	auth
github.com/klauspost/compress
	frame
github.com/mailru/easygo
	poller
github.com/minio/highwayhash
	internal/natsstore/check
github.com/nats-io/nats-server
	internal/natsstore
	internal/natsstore/check: names and types of the files of a stream
	test/testenv/natsenv: servers for tests
github.com/nats-io/nats.go
	internal/natsstore
	test/testenv/natsenv: clients for tests
github.com/pires/go-proxyproto
	internal/front
github.com/prometheus/client_golang
	stats/metrics
github.com/santhosh-tekuri/jsonschema
	internal/eventtypes
	test/spectest: validates messages against the AsyncAPI document
github.com/tidwall/btree
	auth
github.com/valyala/fasthttp
	internal/api
go.opentelemetry.io/otel
	internal/tracing
go.yaml.in/yaml
	cmd/gatecast
	internal/eventtypes: the file of event types, with strict rules of its own
	internal/spec/gendoc: the order of the members in the OpenAPI and AsyncAPI documents
	test/spectest: the OpenAPI and AsyncAPI documents
golang.org/x/net
	internal/front
	internal/http1: the token and value rules of HTTP headers (httpguts)
golang.org/x/sync
	auth
golang.org/x/sys
	poller
	bench: CPU pinning and CPU clock of the server process
	internal/api: TCP_INFO, to notice that a client disconnected
	internal/natsstore: free disk space
	internal/natsstore/check: file locks and syncfs
	internal/listen: the descriptor limit, and names of accept errors
	test/testenv: a read-only mount
golang.org/x/term
	cmd/gatecast
golang.org/x/text
	internal/eventtypes
`)

// An importer is a package that imports a third-party module.
type importer struct{ pkg, reason string }

// parseImporters parses lines of modules, each followed by indented lines of importers.
func parseImporters(text string) map[string][]importer {
	m := make(map[string][]importer)
	var current string
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "\t"); ok {
			pkg, reason, _ := strings.Cut(name, ": ")
			m[current] = append(m[current], importer{pkg, reason})
		} else {
			current = line
		}
	}
	return m
}

// listed returns the module of the list that import path i belongs to, or "".
func listed(i string) string {
	for m := range importers {
		if i == m || strings.HasPrefix(i, m+"/") {
			return m
		}
	}
	return ""
}

func TestThirdPartyModules(t *testing.T) {
	used := make(map[string][]string) // importers by module
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(i, module) {
				continue
			}
			m := listed(i)
			switch {
			case m == "":
				t.Errorf("%s imports %s, whose module is missing in importers", p.name(), i)
			case !slices.ContainsFunc(importers[m], func(im importer) bool { return im.pkg == p.name() }):
				t.Errorf("%s imports %s, which %s imports already: use that package, or add %s to importers with a reason",
					p.name(), i, importers[m][0].pkg, p.name())
			}
			used[m] = append(used[m], p.name())
		}
	}
	for m, list := range importers {
		for n, im := range list {
			if n > 0 && im.reason == "" {
				t.Errorf("%s is importer number %d of %s: write the reason in importers", im.pkg, n+1, m)
			}
			if !slices.Contains(used[m], im.pkg) {
				t.Errorf("%s does not import %s: remove it from importers", im.pkg, m)
			}
		}
	}
}

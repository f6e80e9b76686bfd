# Copyright The gatecast Authors
# SPDX-License-Identifier: Apache-2.0

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s
SOAK     ?= 10m

.PHONY: run build test race lint fuzz bench bench-growth bench-peers bench-hostile soak clients spec-lint screenshots vuln rename image

run: ## a working system to watch, in one process; Ctrl-C ends it
	$(GO) run ./cmd/gatecast demo

build: ## the static binary, bin/gatecast
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gatecast ./cmd/gatecast

test: ## every test that needs nothing but Go
	$(GO) test -shuffle=on -timeout 20m ./...

race: ## the same under the race detector, which needs a C compiler
	$(GO) test -race -shuffle=on -timeout 30m ./...

lint:
	$(GO) vet ./...
	$(GO) run $(LINT) run

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

bench: ## the server as a process of its own, under load; up to ten minutes
	$(GO) test -run '^$$' -bench . -skip Growth -benchtime 1x -count 1 -timeout 30m ./bench

bench-growth: ## the same workloads with 1,000 to 18,000 connections, and the shard alone with a million
	$(GO) test -run '^$$' -bench Growth -benchtime 1x -count 1 -timeout 30m ./bench
	$(GO) test -run '^$$' -bench Growth -count 1 ./shard

bench-peers: ## other WebSocket libraries under the same load, and ratios; twenty minutes
	cd bench/peers && $(GO) run .

bench-hostile: ## what 1,000 connections notice of each attack on the server; half an hour
	$(GO) test ./test/hostile -run '^$$' -bench Bystanders -benchtime 1x -timeout 90m

soak: ## the server under everything at once for SOAK, as in SOAK=2h; fails if an event is lost or memory rises
	$(GO) run ./test/soak --for $(SOAK)

clients: ## foreign WebSocket clients against the binary; see test/clients
	npm ci --silent --no-fund --no-audit --prefix test/clients/node
	$(GO) test -tags clients -count 1 -timeout 10m ./test/clients

spec-lint: ## openapi.yaml and asyncapi.yaml, by Spectral; and that oapi-codegen makes Go of the first that compiles
	npm ci --silent --no-fund --no-audit --ignore-scripts --prefix internal/spec/lint
	internal/spec/lint/node_modules/.bin/spectral lint --ruleset internal/spec/lint/spectral.yaml --fail-severity hint internal/spec/*.yaml
	cd internal/spec/codegen && $(GO) mod tidy -diff && $(GO) test -count 1 .

screenshots: ## the pictures of the tutorial, docs/images; needs chromium
	$(GO) run ./test/screenshots

vuln: ## known vulnerabilities in what is called; fails where the database is out of reach
	GO=$(GO) .ci/vuln

rename: ## rename the module for another host: make rename MODULE=example.com/team/gatecast
	@test -n "$(MODULE)" || { echo 'usage: make rename MODULE=example.com/team/gatecast'; exit 2; }
	@OLD=$$($(GO) list -m) && export OLD && \
	  grep -rlIF --exclude-dir=.git --exclude-dir=node_modules --exclude-dir=bin "$$OLD" . | \
	  MODULE='$(MODULE)' xargs perl -pi -e 's/\Q$$ENV{OLD}\E/$$ENV{MODULE}/g'
	@gofmt -w . # the new path can change the order of imports

image:
	docker build --build-arg VERSION=$(VERSION) -t gatecast:$(VERSION) .

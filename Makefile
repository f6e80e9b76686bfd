# Copyright The gatecast Authors
# SPDX-License-Identifier: Apache-2.0

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s
SOAK     ?= 10m

# Packages, and parallel tests of a package, that run at the same time. Most tests wait, so there
# are more of them than processors. The packages that take longest start first: go test tests a
# package once, also if it is listed twice.
AT_ONCE ?= 4
LONGEST := ./internal/node ./internal/natsstore ./internal/natsstore/check ./internal/eventlog ./internal/api ./bench ./cmd/gatecast

# These stop and kill processes, or attack a node, and mostly wait: they run beside each other, and
# nothing else beside them. ALONE is a prefix of their command: .ci/run waits for its other steps.
ALONE       ?=
ALONE_TESTS := test/chaos|test/hostile|test/soak

# Not run with the race detector: packages without goroutines (test/archtest checks that), and those
# whose node is another process, which is built without the detector.
NO_GOROUTINES := internal/event|internal/netaddr|internal/secretfile|internal/spec|internal/strict|internal/tlsrecord|test/archtest|test/docs|test/gomodule
OTHER_PROCESS := test/chaos|test/hostile

SHELL       := bash
.SHELLFLAGS := -o pipefail -ec

.PHONY: $(shell sed -n 's/^\([a-z][a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='|' read -r target text; do printf '  make %-13s %s\n' "$$target" "$$text"; done

run: ## start a demo: a node, two gateways and a stream of events; Ctrl-C ends it
	$(GO) run ./cmd/gatecast demo

build: ## build the static binary bin/gatecast
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gatecast ./cmd/gatecast

# Where gatecast builds. serve and demo run on Linux only, all other commands on each.
PLATFORMS := linux darwin freebsd windows
ARCHS     := amd64 arm64

cross: ## build and vet the program for every platform: Linux, macOS, FreeBSD, Windows; amd64 and arm64
	@for os in $(PLATFORMS); do for arch in $(ARCHS); do \
	  echo "$$os/$$arch"; \
	  export GOOS=$$os GOARCH=$$arch CGO_ENABLED=0; \
	  $(GO) build -trimpath -o /dev/null ./cmd/gatecast; \
	  $(GO) vet $$($(GO) list -deps ./cmd/gatecast ./client | grep "^$$(GOOS= GOARCH= $(GO) list -m)"); \
	done; done

test: ## run all tests that need only Go; about 4 minutes
	@packages=$$($(GO) list ./... | grep -vE '/($(ALONE_TESTS))$$'); \
	  $(GO) test -shuffle=on -timeout 20m -p $(AT_ONCE) -parallel $(AT_ONCE) $(LONGEST) $$packages
	$(ALONE) $(GO) test -shuffle=on -timeout 20m -p 3 $(addprefix ./,$(subst |, ,$(ALONE_TESTS)))

race: ## run the tests with the race detector; needs a C compiler
	@packages=$$($(GO) list ./... | grep -vE '/($(NO_GOROUTINES)|$(OTHER_PROCESS))$$'); \
	  $(GO) test -race -shuffle=on -timeout 30m -p $(AT_ONCE) -parallel $(AT_ONCE) $(LONGEST) $$packages

lint: ## run go vet and golangci-lint
	$(GO) vet ./...
	$(GO) run $(LINT) run

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

bench: ## measure a node under load, in a process of its own; up to 10 minutes
	$(GO) test -run '^$$' -bench . -skip Growth -benchtime 1x -count 1 -timeout 30m ./bench

bench-growth: ## measure 1,000 to 18,000 connections to a node, and a million to a shard alone
	$(GO) test -run '^$$' -bench Growth -benchtime 1x -count 1 -timeout 30m ./bench
	$(GO) test -run '^$$' -bench Growth -count 1 ./shard

bench-peers: ## compare with other WebSocket libraries and servers under the same load; 20 minutes
	cd bench/peers && $(GO) run .

bench-hostile: ## measure how each attack affects 1,000 other connections; 30 minutes
	$(GO) test ./test/hostile -run '^$$' -bench Bystanders -benchtime 1x -timeout 90m

soak: ## run a node under all kinds of load for SOAK (10m); fails if events are lost or memory grows
	$(GO) run ./test/soak --for $(SOAK)

clients: ## test the binary with WebSocket clients in other languages; needs Node.js, Python, OpenSSL, NGINX, HAProxy, Chromium
	npm ci --silent --no-fund --no-audit --prefix test/clients/node
	$(GO) test -tags clients -count 1 -timeout 10m ./test/clients

spec-lint: ## check openapi.yaml and asyncapi.yaml with Spectral, and compile what oapi-codegen generates; needs Node.js
	npm ci --silent --no-fund --no-audit --ignore-scripts --prefix internal/spec/lint
	internal/spec/lint/node_modules/.bin/spectral lint --ruleset internal/spec/lint/spectral.yaml --fail-severity hint internal/spec/*.yaml
	cd internal/spec/codegen && $(GO) mod tidy -diff && $(GO) test -count 1 .

screenshots: ## make the pictures of the tutorial in docs/images; needs Chromium
	$(GO) run ./test/screenshots

vuln: ## look for known vulnerabilities in the code that is called; fails if the database cannot be reached
	GO=$(GO) .ci/vuln

rename: ## rename the module for another host: make rename MODULE=example.com/team/gatecast
	@test -n "$(MODULE)" || { echo 'usage: make rename MODULE=example.com/team/gatecast'; exit 2; }
	@OLD=$$($(GO) list -m) && export OLD && \
	  grep -rlIF --exclude-dir=.git --exclude-dir=node_modules --exclude-dir=bin "$$OLD" . | \
	  MODULE='$(MODULE)' xargs perl -pi -e 's/\Q$$ENV{OLD}\E/$$ENV{MODULE}/g'
	@gofmt -w . # the new path can change the order of imports

image: ## build the container image gatecast:VERSION; needs Docker
	docker build --build-arg VERSION=$(VERSION) -t gatecast:$(VERSION) .

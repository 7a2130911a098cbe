# apiwarden: every target a person needs. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
DEMO_FLAGS ?=
SOAK ?= 10m
TEST_FLAGS ?= -race -shuffle=on -timeout 45m
PACKAGES ?= ./...
export BENCH BENCH_SKIP BENCH_COUNT BENCH_TIME PROFILE
BENCH_FLAGS ?=
LINT := $(GO) tool -modfile=.ci/tools/go.mod golangci-lint

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/apiwarden and bin/chdb-server
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -o bin/ ./cmd/apiwarden ./cmd/chdb-server

.PHONY: engine
engine: ## install the ClickHouse engine that demo and tests use (npm, pinned)
	deploy/dev/chdb.sh install

.PHONY: demo
demo: engine build ## see real detection within a minute; DEMO_FLAGS='--for 30s' passes flags on
	bin/apiwarden demo $(DEMO_FLAGS)

.PHONY: test
test: ## run all tests, with a real Kafka and a real ClickHouse engine
	deploy/dev/services.sh run $(GO) test $(TEST_FLAGS) $(PACKAGES)

.PHONY: soak
soak: ## judge a constant load for ten minutes while faults come at random; SOAK=1h for longer
	APIWARDEN_TEST_SOAK=$(SOAK) deploy/dev/services.sh run $(GO) test -count=1 -timeout 0 -v -run '^TestSoak$$' ./cmd/apiwarden

.PHONY: lint
lint: ## check formatting, imports, and the rules of the house
	$(LINT) run ./...

.PHONY: format
format: ## format the Go code
	$(LINT) fmt ./...

.PHONY: bench
bench: ## run the benchmarks and compare with docs/bench/micro.txt; BENCH=Decode picks some
	.ci/bench run

.PHONY: bench-record
bench-record: ## run the benchmarks and make the result docs/bench/micro.txt
	.ci/bench record

.PHONY: bench-baselines
bench-baselines: build ## score learned baselines on the series of ../shared, beside published detectors
	.ci/bench-baselines

.PHONY: profile
profile: ## CPU profile of decoding and six rules; PROFILE=Detect adds fetching and delivery
	.ci/bench profile

.PHONY: pgo
pgo: ## refresh cmd/apiwarden/default.pgo and measure what it gains
	.ci/bench pgo

.PHONY: bench-report
bench-report: engine build ## measure end to end, peers included (half an hour), and write docs/bench; BENCH_FLAGS='--only raw,detect' passes flags on
	bin/apiwarden bench --json docs/bench/measured.json --markdown docs/bench/measured.md --svg docs/bench $(BENCH_FLAGS)

.PHONY: docs
docs: ## write docs/reference from the code
	$(GO) run ./cmd/apiwarden docs --out docs/reference

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

# What a developer types. What takes more than a few lines of shell is a script in .ci/.

GO      ?= go
BIN     := bin/postern
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The version is stamped by the linker, so Go need not ask git itself (which
# refuses, and fails the build, in a checkout that another user owns).
export GOFLAGS := $(GOFLAGS) -buildvcs=false

STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

FUZZTIME ?= 10m

.DEFAULT_GOAL := build
.PHONY: build run test quick deps format vet lint unit fuzz-short s390x real fuzz bench cover clean

## build: the binary, in bin/; static, so that it runs on any Linux of its architecture
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/postern

## run: the whole thing on loopback, with three mail guests and mail in them
run: build
	$(BIN) demo

## test: everything, on a machine that has only Go, make and a compiler; what CI runs
test:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory format vet lint
	@$(MAKE) --no-print-directory s390x
	@$(MAKE) --no-print-directory fuzz-short
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory real

## quick: what to run before each commit; installs nothing
quick: format vet
	@echo "== short tests"
	$(GO) test -short ./...

deps:
	@echo "== servers and clients that the tests use"
	@.ci/build-consul & consul=$$!; .ci/deps && wait $$consul

format:
	@echo "== gofmt"
	@found=$$(gofmt -l .) && if [ -n "$$found" ]; then echo "gofmt would change:"; echo "$$found"; exit 1; fi

vet:
	@echo "== go vet"
	$(GO) vet ./...

lint:
	@echo "== staticcheck"
	$(STATICCHECK) ./...

unit:
	@echo "== unit tests, in random order, with the race detector"
	$(GO) test -race -shuffle=on ./...

# The last step: its closing lines are go test's own. Its tests wait for servers most of the time, so
# more of them run at once than there are processors.
real:
	@echo "== real mail servers and clients"
	POSTERN_REAL=1 $(GO) test -shuffle=on -parallel 4 -timeout 30m -run Real ./directory/... ./backend/... ./cmd/postern/...

s390x:
	@echo "== unit tests of the pure packages on s390x (64 bits, big-endian), emulated"
	.ci/s390x

fuzz-short:
	@echo "== each fuzz target for two seconds"
	.ci/fuzz 2s

## fuzz: each fuzz target for FUZZTIME (10m)
fuzz:
	.ci/fuzz $(FUZZTIME)

## bench: all benchmarks, those of ten million mailboxes and of real servers too; compare two runs with benchstat
bench:
	POSTERN_BENCH_LARGE=1 POSTERN_REAL=1 $(GO) test -timeout 60m -run '^$$' -bench . -benchmem ./...

## cover: which statements the short tests reach
cover:
	$(GO) test -short -coverprofile=bin/cover.out ./...
	$(GO) tool cover -func=bin/cover.out | tail -n 1

clean:
	rm -rf bin

# Everything that can be done with this repository. `make help` lists it.
GO       ?= go
export CGO_ENABLED ?= 0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 60s
PACKAGES  = ./...
# More for go test, such as -vet=off after make lint.
TESTFLAGS ?=
# Live calls mostly wait, so more of them run at a time than there are processors.
PARALLEL  = -parallel 6
# What the race detector does not watch: SQLite, which is C that a machine has turned into Go, and two decoders. None of
# them starts a goroutine, and each object of theirs is behind a lock or in the hands of one goroutine of ours; watching
# them takes four times as long as everything else.
UNWATCHED = modernc.org github.com/pion/opus github.com/hajimehoshi/go-mp3
RACEFLAGS = -race $(foreach m,$(UNWATCHED),-gcflags=$(m)/...=-race=false)
# Whose branches guide the fuzzer: this module and those that read what strangers send. Not the standard library and the
# databases, which would take minutes to build once more.
FUZZED    = callscreen github.com/pion github.com/hajimehoshi/go-mp3 github.com/go-audio go.yaml.in/yaml
FUZZFLAGS = $(foreach m,$(FUZZED),-gcflags=$(m)/...=-d=libfuzzer)
ARCHS    ?= amd64 arm64
NFPM      = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
# A version of Debian begins with a digit, and that of a later commit is greater.
DEBVERSION = $(if $(filter v%,$(VERSION)),$(VERSION:v%=%),0~$(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S)+$(VERSION))
GOLANGCI  = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

.PHONY: race-most race-live release reproducible arm64 deb deb-test newcomer soak libopus demo peers browser load crash help build test race fuzz bench lint check docs clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## show everything: two live calls, a stand-in for the API, no key, no set-up
	$(GO) run ./cmd/callscreen demo

build: ## build bin/callscreen, a static binary
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/callscreen ./cmd/callscreen

release: ## build bin/release for linux/amd64 and linux/arm64, with SHA256SUMS
	@mkdir -p bin/release && rm -f bin/release/callscreen-linux-*
	@set -e; for arch in $(ARCHS); do \
	  GOOS=linux GOARCH=$$arch CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$(VERSION)" -o bin/release/callscreen-linux-$$arch ./cmd/callscreen; \
	done
	@cd bin/release && sha256sum callscreen-linux-* >SHA256SUMS && cat SHA256SUMS

reproducible: ## build release and packages in two folders, each program with a cold cache of its own, and compare (some minutes)
	@rm -rf out/build && mkdir -p out/build
	@set -e; from=.; for dir in out/build/one out/build/and/another; do \
	  git clone -q $$from $$dir; from=out/build/one; GOCACHE=$(CURDIR)/$$dir/.cache $(MAKE) -s -C $$dir release VERSION=$(VERSION); \
	  rm -rf $$dir/.cache; $(MAKE) -s -C $$dir -o release deb VERSION=$(VERSION); \
	  (cd $$dir/bin/release && sha256sum callscreen*) >$$dir/sums; \
	  export TZ=Pacific/Kiritimati LC_ALL=C; umask 077; sleep 1; \
	done
	cmp out/build/one/sums out/build/and/another/sums
	@cat out/build/one/sums && rm -rf out/build

arm64: release ## run the release for linux/arm64 under emulation (needs qemu-user-static)
	.ci/arm64

deb: release ## make Debian packages of the release
	@mkdir -p bin/release/share && rm -f bin/release/callscreen_*.deb
	@set -e; for shell in bash zsh fish; do $(GO) run ./cmd/callscreen completion $$shell >bin/release/share/callscreen.$$shell; done
	@gzip -9nc docs/deploy/callscreen.1 >bin/release/share/callscreen.1.gz
	@set -e; for arch in $(ARCHS); do \
	  ARCH=$$arch VERSION='$(DEBVERSION)' SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(GO) run $(NFPM) package -f docs/deploy/nfpm.yaml -p deb -t bin/release/; \
	done

deb-test: deb ## install the Debian package in a Debian of its own, upgrade, remove and purge it (needs root and debootstrap)
	CALLSCREEN_DEBS=$(CURDIR)/bin/release $(GO) test -count=1 -v ./internal/e2e/deb

newcomer: ## clone this repository, and do what the README says (some minutes)
	CALLSCREEN_NEWCOMER=1 $(GO) test -count=1 -v ./internal/e2e/newcomer

soak: ## 100 legs that come and go for CALLSCREEN_SOAK (default 20m): nothing may grow
	CALLSCREEN_SOAK=$${CALLSCREEN_SOAK:-20m} $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' ./internal/e2e/crash

test: ## run the tests; what needs an absent program is skipped by name
	$(GO) test $(PARALLEL) $(TESTFLAGS) $(PACKAGES)

race: race-most race-live ## run the tests under the race detector, without the longest (needs a C compiler)
race-most:
	CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -short $(PARALLEL) $(TESTFLAGS) $$($(GO) list $(PACKAGES) | grep -v /internal/app$$)
race-live: # after the others: its live calls keep real time
	CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -short $(PARALLEL) $(TESTFLAGS) ./internal/app

fuzz: ## run each fuzz target for FUZZTIME (default 60s; 3000x is a number of runs)
	@mkdir -p out/fuzz
	@set -e; cache=$$($(GO) env GOCACHE)/fuzz; \
	for dir in $$(grep -l '^func Fuzz' $$($(GO) list -f '{{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$$d}}/{{.}} {{end}}' $(PACKAGES)) | xargs -n 1 dirname | sort -u); do \
	  pkg=$$(cd $$dir && $(GO) list .); bin=$(CURDIR)/out/fuzz/$$(basename $$dir).test; \
	  $(GO) test -c -vet=off $(FUZZFLAGS) -o $$bin $$pkg; \
	  for target in $$(cd $$dir && $$bin -test.list '^Fuzz'); do \
	    echo "== $$pkg $$target"; \
	    (cd $$dir && $$bin -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 10x -test.fuzzcachedir $$cache/$$pkg); \
	  done; \
	  rm $$bin; \
	done

bench: ## measure the cost of each stage, the ratio to ffmpeg, 100 segments a second, a month of history, and 200 live legs
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 2s ./encode ./capture ./capture/vad ./policy
	$(GO) test -run '^$$' -bench 'Replay|Throughput|Backtest' -benchtime 1x -timeout 20m ./internal/screen
	$(GO) test -run '^$$' -bench Month -benchtime 30x -timeout 20m ./internal/screen
	$(GO) test -run '^$$' -bench . -benchtime 1x ./internal/review
	$(MAKE) load

libopus: ## test the build with libopus (needs a C compiler, libopus-dev and pkg-config)
	CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -gcflags=callscreen/encode=-race=false -count=1 -tags libopus,nolibopusfile ./encode ./internal/publish # -race, for make race has built most of it

peers: ## test against Chromium and aiortc (.ci/run installs them), and Janus and rtpengine where they are installed
	CALLSCREEN_REQUIRE_PEERS=1 $(GO) test -count=1 -v ./internal/e2e/peers

.PHONY: network
network: ## calls over IPv6, TCP, NAT, TURN, ICE-lite and loss, in network namespaces (needs root, iproute2, nftables, coturn)
	CALLSCREEN_REQUIRE_NETWORK=1 $(GO) test -count=1 -v ./internal/e2e/network

# The last version that is built from modules that can be had: later ones replace some by others.
LIVEKIT = github.com/livekit/livekit-server/cmd/server@v1.13.5
.PHONY: livekit
livekit: ## send rooms of a real LiveKit server to callscreen (builds it first, some minutes; not part of .ci/run)
	@test -n "$$CALLSCREEN_LIVEKIT" -o -x bin/livekit-server || { echo "building $(LIVEKIT)"; GOBIN=$(CURDIR)/bin/livekit $(GO) install $(LIVEKIT) && mv bin/livekit/server bin/livekit-server && rmdir bin/livekit; }
	cd docs/examples/livekit && $(GO) vet ./... && CALLSCREEN_REQUIRE_PEERS=1 $(GO) test -count=1 -v ./...

browser: ## play the story of a call in Chromium, with pictures in out/browser (needs chromium, node and npm)
	npm install --no-save --no-package-lock --no-audit --no-fund --prefix internal/e2e/browser playwright-core@1.64.1 axe-core@4.14.1 >/dev/null
	CALLSCREEN_REQUIRE_PEERS=1 $(GO) test -count=1 -v ./internal/e2e/browser

load: ## 200 live legs on this machine for 30 s
	CALLSCREEN_LOAD=200 $(GO) test -count=1 -v -run '^TestLoad$$' ./internal/app

crash: ## kill the real sidecar 30 times on each database, and take away all it depends on (some minutes)
	@mkdir -p out && rm -f out/crash.md
	CALLSCREEN_KILLS=30 CALLSCREEN_CRASH_REPORT=$(CURDIR)/out/crash.md $(GO) test -count=1 -parallel 6 -timeout 20m ./internal/e2e/crash
	@sort -r out/crash.md

lint: ## gofmt, vet, golangci-lint, and a tidy go.mod
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet $(PACKAGES)
	GOGC=400 GOMEMLIMIT=3GiB $(GO) run $(GOLANGCI) run --allow-parallel-runners $(PACKAGES)
	$(GO) mod tidy -diff

docs: ## write the configuration reference into the README
	$(GO) test ./cmd/callscreen -run '^TestReadme' -update

check: ## all that .ci/run runs: lint, tests, race, a short fuzz of each target
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) race
	$(MAKE) fuzz FUZZTIME=3000x

clean: ## remove what was built
	rm -rf bin

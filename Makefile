# The commands of this repository. `make help` lists them.
GO       ?= go
export CGO_ENABLED ?= 0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 60s
PACKAGES  = ./...
# Further flags of go test, such as -vet=off after make lint.
TESTFLAGS ?=
# Runs of make crash.
RUNS     ?= 1
# The path of this module.
MODULE    = $(shell sed -n 's/^module //p' go.mod)
# Live calls mostly wait, so more of them run at a time than there are processors.
PARALLEL  = -parallel 6
# Modules that the race detector does not watch: SQLite, which is C translated to Go, and two decoders. They start no
# goroutine, and each of their objects is behind a lock or used by one goroutine. Watching them takes four times as long as
# everything else.
UNWATCHED = modernc.org github.com/pion/opus github.com/hajimehoshi/go-mp3
RACEFLAGS = -race $(foreach m,$(UNWATCHED),-gcflags=$(m)/...=-race=false)
# Modules whose branches guide the fuzzer: this one and those that read input of strangers. The standard library and the
# databases would take minutes to build again.
FUZZED    = $(MODULE) github.com/pion github.com/hajimehoshi/go-mp3 github.com/go-audio go.yaml.in/yaml
FUZZFLAGS = $(foreach m,$(FUZZED),-gcflags=$(m)/...=-d=libfuzzer)
ARCHS    ?= amd64 arm64
# What decodes Opus in the release: libopus, or go for a build without a C compiler.
DECODER  ?= libopus
NFPM      = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
# A Debian version begins with a digit, and the version of a later commit is greater.
COMMITTED = $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S)
DEBVERSION = $(if $(filter v%,$(VERSION)),$(VERSION:v%=%),0~$(COMMITTED)+$(VERSION))
GOLANGCI  = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0
NPM       = npm install --no-save --no-package-lock --no-audit --no-fund --prefix
# The last version of LiveKit that builds from published modules. Later versions replace some of them.
LIVEKIT   = github.com/livekit/livekit-server/cmd/server@v1.13.5

.PHONY: help demo build release reproducible arm64 deb deb-test newcomer soak test race race-most race-live fuzz bench libopus \
	peers network livekit browser modules-peers modules-browser load stories simulate mutations crash \
	lint docs check module clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: ## run the whole product: two live calls, a simulator of the API, no key, no set-up
	$(GO) run ./cmd/callscreen demo

build: ## build bin/callscreen, a static binary
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/callscreen ./cmd/callscreen

release: ## build bin/release for linux/amd64 and linux/arm64 with libopus, and SHA256SUMS (needs libopus-dev of both)
	@mkdir -p bin/release && rm -f bin/release/callscreen-linux-*
	@set -e; for arch in $(ARCHS); do \
	  GO='$(GO)' VERSION='$(VERSION)' DECODER='$(DECODER)' .ci/release $$arch bin/release/callscreen-linux-$$arch; \
	done
	@cd bin/release && sha256sum callscreen-linux-* >SHA256SUMS && cat SHA256SUMS

reproducible: ## build release and packages in two folders, each with a cold cache, and compare them (some minutes)
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

deb: release ## build Debian packages of the release
	@mkdir -p bin/release/share && rm -f bin/release/callscreen_*.deb
	@set -e; for shell in bash zsh fish; do $(GO) run ./cmd/callscreen completion $$shell >bin/release/share/callscreen.$$shell; done
	@gzip -9nc docs/deploy/callscreen.1 >bin/release/share/callscreen.1.gz
	@if [ "$(DECODER)" = go ]; then echo "There is no libopus in this package."; else cat /usr/share/doc/libopus-dev/copyright; fi \
	  >bin/release/share/libopus.copyright
	@set -e; for arch in $(ARCHS); do \
	  ARCH=$$arch VERSION='$(DEBVERSION)' SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	    $(GO) run $(NFPM) package -f docs/deploy/nfpm.yaml -p deb -t bin/release/; \
	done

deb-test: deb ## install, upgrade, remove and purge the Debian package in a fresh Debian (needs root and debootstrap)
	CALLSCREEN_DEBS=$(CURDIR)/bin/release $(GO) test -count=1 -v ./internal/e2e/deb

newcomer: ## clone this repository and follow the README (some minutes)
	CALLSCREEN_NEWCOMER=1 $(GO) test -count=1 -v ./internal/e2e/newcomer

soak: ## run 100 legs that come and go for CALLSCREEN_SOAK (default 20m) and check that nothing grows
	CALLSCREEN_SOAK=$${CALLSCREEN_SOAK:-20m} $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' ./internal/e2e/crash

test: ## run the tests; a test whose program is absent is skipped by name
	$(GO) test $(PARALLEL) $(TESTFLAGS) $(PACKAGES)

race: race-most race-live ## run the tests under the race detector, without the longest (needs a C compiler)
race-most:
	CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -short $(PARALLEL) $(TESTFLAGS) $$($(GO) list $(PACKAGES) | grep -v /internal/app$$)
race-live: # after race-most: its live calls keep real time
	CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -short $(PARALLEL) $(TESTFLAGS) ./internal/app

FUZZFILES = {{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}} {{end}}{{range .XTestGoFiles}}{{$$d}}/{{.}} {{end}}
fuzz: ## run each fuzz target for FUZZTIME (default 60s; 3000x is a number of runs)
	@mkdir -p out/fuzz
	@set -e; cache=$$($(GO) env GOCACHE)/fuzz; \
	for dir in $$(grep -l '^func Fuzz' $$($(GO) list -f '$(FUZZFILES)' $(PACKAGES)) | xargs -n 1 dirname | sort -u); do \
	  pkg=$$(cd $$dir && $(GO) list .); bin=$(CURDIR)/out/fuzz/$$(basename $$dir).test; \
	  $(GO) test -c -vet=off $(FUZZFLAGS) -o $$bin $$pkg; \
	  for target in $$(cd $$dir && $$bin -test.list '^Fuzz'); do \
	    echo "== $$pkg $$target"; \
	    (cd $$dir && $$bin -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) \
	      -test.fuzzminimizetime 10x -test.fuzzcachedir $$cache/$$pkg); \
	  done; \
	  rm $$bin; \
	done

bench: ## measure each stage, the ratio to ffmpeg, 100 segments a second, a month of history, and 200 live legs
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 2s ./encode ./capture ./capture/vad ./policy
	$(GO) test -run '^$$' -bench 'Replay|Throughput|Backtest' -benchtime 1x -timeout 20m ./internal/replay ./internal/screen
	$(GO) test -run '^$$' -bench Month -benchtime 30x -timeout 20m ./internal/screen
	$(GO) test -run '^$$' -bench . -benchtime 1x ./internal/review
	$(MAKE) load

LIBOPUS = CGO_ENABLED=1 $(GO) test $(RACEFLAGS) -gcflags=$(MODULE)/encode=-race=false -count=1 -tags libopus,nolibopusfile
libopus: ## test the build with libopus (needs a C compiler, libopus-dev and pkg-config)
	$(LIBOPUS) -short ./encode # with the flags of race, which has built most of it; make test reads the many files
	$(LIBOPUS) ./internal/publish

peers: ## test with Chromium, aiortc and GStreamer (.ci/run installs them), and with Janus and rtpengine if they are installed
	CALLSCREEN_REQUIRE_PEERS=1 $(GO) test -count=1 -v ./internal/e2e/peers

network: ## run calls over IPv6, TCP, NAT, TURN, ICE-lite and loss, in network namespaces (needs root, iproute2, nftables, coturn)
	CALLSCREEN_REQUIRE_NETWORK=1 $(GO) test -count=1 -v ./internal/e2e/network

livekit: ## send rooms of a real LiveKit server to callscreen (builds the server first, some minutes; not part of make check)
	@test -n "$$CALLSCREEN_LIVEKIT" -o -x bin/livekit-server || { \
	  echo "building $(LIVEKIT)"; \
	  GOBIN=$(CURDIR)/bin/livekit $(GO) install $(LIVEKIT) && mv bin/livekit/server bin/livekit-server && rmdir bin/livekit; \
	}
	cd docs/examples/livekit && $(GO) vet ./... && CALLSCREEN_REQUIRE_PEERS=1 $(GO) test -count=1 -v ./...

# CALLSCREEN_PICTURE=docs/images/desk.png writes the picture of the README.
browser: modules-browser ## play the story of a call in Chromium, with pictures in out/browser (needs chromium, node and npm)
	CALLSCREEN_REQUIRE_PEERS=1 CALLSCREEN_PICTURE=$(abspath $(CALLSCREEN_PICTURE)) $(GO) test -count=1 -v ./internal/e2e/browser

modules-peers:
	$(NPM) internal/e2e/peers playwright-core@1.64.1 >/dev/null
modules-browser:
	$(NPM) internal/e2e/browser playwright-core@1.64.1 axe-core@4.14.1 >/dev/null

load: ## run 200 live legs on this machine for 30 s
	CALLSCREEN_LOAD=200 $(GO) test -count=1 -v -run '^TestLoad$$' ./internal/app

stories: ## play 10,000 random calls, 2,000 random recordings, and 200 calls with the real binary, with the tone in them (about an hour)
	CALLSCREEN_STORIES=10000 $(GO) test -count=1 -v -timeout 0 -run '^TestTheToneDoesNotPass$$|^TestHumanSpeechIsClear$$' ./internal/e2e/stories
	CALLSCREEN_STORIES=2000 $(GO) test -count=1 -v -timeout 0 -run '^TestTheToneOfARecordingDoesNotPass$$' ./internal/e2e/stories
	CALLSCREEN_STORIES=200 $(GO) test -count=1 -v -timeout 0 -run '^TestTheToneDoesNotPassTheBinary$$' ./internal/e2e/stories

simulate: ## run the durable core in 100,000 worlds that fail (80 min on two cores; CALLSCREEN_WORLD=SEED CALLSCREEN_WORLDS=1 repeats one)
	GOGC=400 CALLSCREEN_WORLDS=$${CALLSCREEN_WORLDS:-100000} $(GO) test -count=1 -v -timeout 0 -run '^TestThePromisesHold$$' ./internal/e2e/simulation

mutations: ## show that the simulation finds defects of the durable core (some minutes)
	CALLSCREEN_MUTATIONS=1 $(GO) test -count=1 -v -timeout 0 -run '^TestDefectsAreFound$$' ./internal/e2e/simulation

# RUNS=3 adds median and worst of the drains. CALLSCREEN_CHAOS=20m runs random faults for so long, and faults of the API for
# 5 min. CALLSCREEN_SEED=N repeats random faults.
crash: ## kill the sidecar 30 times on each database, and take away everything that it depends on (some minutes)
	@mkdir -p out && rm -f out/crash.md
	CALLSCREEN_KILLS=30 CALLSCREEN_CRASH_REPORT=$(CURDIR)/out/crash.md \
	  $(GO) test -count=$(RUNS) -parallel 6 -timeout 60m ./internal/e2e/crash
	@sort -r out/crash.md

lint: ## run gofmt, vet and golangci-lint, and check that go.mod is tidy
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet $(PACKAGES)
	GOGC=400 GOMEMLIMIT=3GiB $(GO) run $(GOLANGCI) run --allow-parallel-runners $(PACKAGES)
	$(GO) mod tidy -diff

docs: ## write the configuration reference, docs/configuration.md
	$(GO) test ./cmd/callscreen -run '^TestConfigurationReference$$' -update

check: ## run every check of .ci/run, which installs the programs first
	.ci/check

# PATH on the command line is the new module path, so the recipe finds its programs by the path of the system.
module: ## change the module path: make module PATH=example.com/you/callscreen
	$(if $(filter command,$(firstword $(origin PATH))),,$(error set PATH, as in make module PATH=example.com/you/callscreen))
	@PATH="$$(command -p getconf PATH)" .ci/module '$(PATH)'

clean: ## remove everything that git ignores, except callscreen.yaml
	git clean -q -d -f -X -e '!/callscreen.yaml'

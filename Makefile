# Equipoise: build, try and test it. `make help` lists what there is.

SHELL := /bin/bash
CARGO ?= cargo
BIN ?= target/release/equipoise
OBJCOPY ?= objcopy
# Where `make install` puts things; DESTDIR goes in front of all of it, for who makes packages.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
# Tests wait on sockets more than they compute, so they may outnumber the cores.
TEST_THREADS ?= 6
# nextest is faster and kills what hangs; plain `cargo test` does when it isn't there.
HAVE_NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.DEFAULT_GOAL := build
.PHONY: help build release install install-debug uninstall demo test test-release record-costs lint fmt unit blackbox bench bench-peers bench-peers-list fuzz docs setup setup-build clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: setup-build ## Build the release binary, target/release/equipoise (also plain `make`)
	$(CARGO) build --release --locked

release: setup-build ## Build what packages ship in the same place: guided by a profile of the program at work (scripts/release)
	scripts/release

# Without the names and line numbers that debuggers want, which are two thirds of it. Those go to a file of their own.
STRIPPED := $(BIN).stripped
DEBUG_FILE := $(BIN).debug

$(BIN):
	$(MAKE) --no-print-directory build

# Made anew each time: `make` and `make release` leave their binaries in one place, and the later one needn't be younger.
.PHONY: $(DEBUG_FILE) $(STRIPPED)
$(DEBUG_FILE): $(BIN)
	$(OBJCOPY) --only-keep-debug --compress-debug-sections $< $@
	chmod 644 $@

$(STRIPPED): $(BIN) $(DEBUG_FILE)
	$(OBJCOPY) --strip-all --add-gnu-debuglink=$(DEBUG_FILE) $< $@

BINDIR = $(DESTDIR)$(PREFIX)/bin
SHARE = $(DESTDIR)$(PREFIX)/share
DOC = $(SHARE)/doc/equipoise
MAN = $(SHARE)/man/man1
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
SYSUSERS = $(DESTDIR)$(PREFIX)/lib/sysusers.d
COMPLETIONS = $(SHARE)/bash-completion/completions/equipoise $(SHARE)/zsh/site-functions/_equipoise \
	$(SHARE)/fish/vendor_completions.d/equipoise.fish

install: $(STRIPPED) ## Install below PREFIX (/usr/local) and DESTDIR: program, service, completions, manual pages, documents
	install -D -m 755 $(STRIPPED) $(BINDIR)/equipoise
	install -d $(UNITS) $(DOC)/conf $(dir $(COMPLETIONS))
	sed 's:/usr/local/bin/:$(PREFIX)/bin/:g' deploy/systemd/equipoise.service > $(UNITS)/equipoise.service
	chmod 644 $(UNITS)/equipoise.service
	install -D -m 644 deploy/systemd/equipoise.sysusers.conf $(SYSUSERS)/equipoise.conf
	$(BIN) completions bash > $(SHARE)/bash-completion/completions/equipoise
	$(BIN) completions zsh > $(SHARE)/zsh/site-functions/_equipoise
	$(BIN) completions fish > $(SHARE)/fish/vendor_completions.d/equipoise.fish
	$(BIN) man $(MAN)
	install -m 644 README.md CHANGELOG.md LICENSE $(DOC)/
	cp -R --no-preserve=ownership docs deploy conf $(DOC)/
	@# What an operator has written stays.
	@test -e $(DESTDIR)$(SYSCONFDIR)/equipoise/equipoise.yaml || { \
		echo "install -D -m 644 conf/minimal.yaml $(DESTDIR)$(SYSCONFDIR)/equipoise/equipoise.yaml"; \
		install -D -m 644 conf/minimal.yaml $(DESTDIR)$(SYSCONFDIR)/equipoise/equipoise.yaml; }

install-debug: $(STRIPPED) ## Install the file that debuggers and backtraces find names in, below /usr/lib/debug
	install -D -m 644 $(DEBUG_FILE) $(DESTDIR)/usr/lib/debug$(PREFIX)/bin/$(notdir $(DEBUG_FILE))

uninstall: ## Remove what `make install` installed; the configuration stays
	rm -f $(BINDIR)/equipoise $(UNITS)/equipoise.service $(SYSUSERS)/equipoise.conf $(COMPLETIONS)
	rm -f $(MAN)/equipoise.1 $(MAN)/equipoise-*.1
	rm -f $(DESTDIR)/usr/lib/debug$(PREFIX)/bin/$(notdir $(DEBUG_FILE))
	rm -rf $(DOC)

demo: build ## See it: three servers, the load balancer on 127.0.0.1:8080, the dashboard on 127.0.0.1:9900
	@exec $(BIN) demo $(DEMO_ARGS)

test: setup lint ## Everything: set-up, lints, unit, property, black-box and peer tests
	@$(MAKE) --no-print-directory run-tests SELECT=
	@$(MAKE) --no-print-directory run-doctests

lint: setup-build ## Formatting, clippy, the import line, licences and advisories
	$(CARGO) fmt --all --check
	scripts/lint-imports
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "$(CARGO) deny check"; $(CARGO) deny --locked check; \
	else \
		echo "lint: cargo-deny is not installed; checking licences only (cargo install --locked cargo-deny for advisories)"; \
		scripts/lint-licences; \
	fi

fmt: ## Format the code
	$(CARGO) fmt --all

unit: setup-build ## Unit and property tests, and the examples in the docs
	@$(MAKE) --no-print-directory run-tests SELECT="--lib --bins"
	@$(MAKE) --no-print-directory run-doctests

blackbox: setup ## The built binary against clients, scripted servers, nginx, httpd, Tomcat, curl and wrk
	@$(MAKE) --no-print-directory run-tests SELECT="--test '*'"

test-release: setup build ## The black-box tests against the release binary
	@EQUIPOISE_BINARY=$(CURDIR)/$(BIN) $(MAKE) --no-print-directory run-tests SELECT="--test '*'"

.PHONY: run-tests run-doctests
run-tests:
ifeq ($(HAVE_NEXTEST),yes)
	$(CARGO) nextest run --locked --no-fail-fast $(SELECT)
else
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --no-fail-fast $(or $(SELECT),--lib --bins --tests)
endif

record-costs: setup ## Record what a request costs now, in instructions and allocations, which `make test` compares with
	EQUIPOISE_RECORD_COSTS=1 $(CARGO) test --locked --test blackbox costs::
	git --no-pager diff --stat -- tests/blackbox/costs/recorded.json

run-doctests:
	$(CARGO) test --locked --doc

bench: setup-build ## Benchmarks of the hot decisions
	$(CARGO) bench --locked

# What is compared, and how long: words of `make bench-peers-list`, rounds, seconds of a round that each proxy has, another
# binary than the one that is built here, an older one to stand beside it, and RECORD=1 for docs/performance.md.
WORKLOADS ?= all
ROUNDS ?= 5
SECONDS_EACH ?= 4
BINARY ?=
OTHER ?=
RECORD ?=

bench-peers: $(if $(BINARY),,release) ## The whole proxy beside nginx and HAProxy: WORKLOADS=core ROUNDS=5 BINARY=file OTHER=file (bench/peers)
	@scripts/setup bench
	python3 bench/peers --workloads "$(WORKLOADS)" --rounds $(ROUNDS) --seconds $(SECONDS_EACH) \
		--binary $(or $(BINARY),$(BIN)) $(if $(OTHER),--other $(OTHER)) $(if $(RECORD),--record)

bench-peers-list: ## What WORKLOADS of bench-peers may name
	@python3 bench/peers --list

fuzz: ## Fuzz every parser of foreign bytes for a minute each, guided by coverage (needs a nightly toolchain and cargo-fuzz)
	@for target in $$(ls fuzz/seeds); do \
		mkdir -p fuzz/corpus/$$target; \
		$(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=60 || exit 1; \
	done

docs: ## The API documentation of the code
	$(CARGO) doc --locked --no-deps --document-private-items

setup: ## Install what the tests need and this machine lacks (Debian packages, through apt-get)
	@scripts/setup test

setup-build: # the compiler, and the tools that the vendored OpenSSL is built with
	@scripts/setup build

clean: ## Remove what was built
	$(CARGO) clean

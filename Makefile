# make run    build, start a demo server on loopback, say how to use it
# make test   install what the tests need, run all tests (the binary that they leave is not optimised)
# make bench  benchmarks of the hot functions, then of the server beside its peers (benches/compare)
# make lint   formatting and clippy
# make crash  the long crash test (ROUNDS=500)
# make fuzz   the fuzz targets for longer (FUZZ_ROUNDS=100000)

CACHE ?= $(HOME)/.cache/posthouse
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Where the tests find their Python clients.
export POSTHOUSE_TEST_VENV := $(CACHE)/venv
# RocksDB is C++: with ccache it is compiled once, whatever happens to the target directory.
export PATH := /usr/lib/ccache:$(HOME)/.cargo/bin:$(PATH)

CONFIG ?= conf/posthouse.toml
ROUNDS ?= 500
FUZZ_ROUNDS ?= 100000

.DEFAULT_GOAL := run
.PHONY: run build test bench lint crash fuzz prerequisites prerequisites-test

run: build
	@exec $(CARGO_TARGET_DIR)/debug/posthouse serve --demo --config $(CONFIG)

build: prerequisites
	cargo build --locked --bin posthouse

# Our own crate is built without optimisation here: that would take longer than all the tests.
test: prerequisites-test
	cargo test --locked --lib --tests --config profile.dev.package.posthouse.opt-level=0

bench: build
	cargo bench --locked --profile dev --bench hot
	benches/compare

lint: prerequisites
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

crash: prerequisites-test
	POSTHOUSE_CRASH_ROUNDS=$(ROUNDS) cargo test --locked --test it --config profile.dev.package.posthouse.opt-level=0 crash -- --nocapture

fuzz: prerequisites
	POSTHOUSE_FUZZ_ROUNDS=$(FUZZ_ROUNDS) cargo test --locked --test fuzz -- --nocapture

prerequisites:
	@.ci/prerequisites

prerequisites-test: $(CACHE)/venv/.made
	@.ci/prerequisites test

# Python clients for the tests, apart from the system's.
$(CACHE)/venv/.made: tests/requirements.txt
	@.ci/prerequisites test
	python3 -m venv $(CACHE)/venv
	$(CACHE)/venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

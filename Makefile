# telerad. `make` alone prints this menu. CARGO_TARGET_DIR is honoured.

.DEFAULT_GOAL := menu
.PHONY: menu run test soak bench fuzz web viewer lint doctor clean-data need-cargo need-native need-node
.DELETE_ON_ERROR:

TARGET := $(or $(CARGO_TARGET_DIR),target)
WEB := crates/reading-room/web
WEB_BUILT := $(WEB)/dist/index.html
WEB_MODULES := $(WEB)/node_modules/.package-lock.json
WEB_SOURCES := $(shell find $(WEB) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

menu:
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: need-cargo web viewer ## build what is missing and run telerad with a demo centre; Ctrl-C stops it
	cargo build --workspace --bin telerad
	@$(TARGET)/debug/telerad demo

test: need-cargo web ## install and start what the tests need, run all tests, stop it
	cargo build --workspace --bin with-services
	@$(TARGET)/debug/with-services --tests

soak: need-cargo web ## cut the power 100 times, then an hour of faults under load; ARGS="seed=1 cuts=100 minutes=60"
	cargo build --workspace --all-targets
	@TELERAD_SOAK="$(ARGS)" $(TARGET)/debug/with-services --only dcmtk -- \
		cargo test --workspace --test it -- soak --ignored --nocapture

bench: need-cargo web ## measure telerad beside whatever peer is installed: images/s, CPU s/GB, peak memory
	python3 crates/testkit/bench/run.py $(ARGS)

fuzz: need-cargo ## run a fuzz target with libFuzzer: make fuzz ARGS="guard -- -max_total_time=300"
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir crates/fuzz $(or $(ARGS),guard -- -max_total_time=60)

web: $(if $(wildcard $(WEB)/package.json),$(WEB_BUILT)) ## build the pages, if their sources are newer

viewer: need-node ## fetch the OHIF viewer into ./viewer, once
	@node deploy/viewer/fetch.mjs

lint: need-cargo web ## formatting, clippy without a warning, and the rules of crates/tidy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test -p tidy

doctor: need-cargo ## ask telerad whether its settings and services work
	cargo build --workspace --bin telerad
	@$(TARGET)/debug/telerad doctor

clean-data: ## remove ./data, all studies and reports of `make run` included
	rm -rf data

$(WEB_BUILT): $(WEB_SOURCES) $(WEB_MODULES)
	cd $(WEB) && npm run build
	@touch $@

$(WEB_MODULES): $(WEB)/package-lock.json | need-node
	cd $(WEB) && npm ci --no-audit --no-fund
	@touch $@

need-cargo: need-native
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer with rustup" >&2; exit 2; }

need-node:
	@command -v node >/dev/null || { echo "node is missing: install Node.js 20.19 or newer" >&2; exit 2; }
	@command -v npm >/dev/null || { echo "npm is missing: install npm, which comes with Node.js" >&2; exit 2; }

# One codec is C++ and builds itself with cmake, before any program of ours could install it.
need-native:
	@command -v cmake >/dev/null && command -v c++ >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends cmake g++ >/dev/null; \
		else echo "cmake or a C++ compiler is missing, run: sudo apt-get install cmake g++" >&2; exit 2; fi; }

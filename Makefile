# Everyday commands. `make ci` is exactly what CI runs.

.PHONY: help check test sim crash bench ci run

help:
	@echo "make check            formatting, lints, shape of the tree"
	@echo "make test             all tests"
	@echo "make sim [SEED=n]     the seeded simulation; SEED repeats a run"
	@echo "make crash [SECONDS=n]  the real binary killed again and again, 300 s by default"
	@echo "make bench            micro-benchmarks"
	@echo "make ci               what CI runs"
	@echo "make run              a node with config.toml"

check:
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --test tests tidy

test:
	cargo test --locked

sim:
	$(if $(SEED),SEED=$(SEED)) cargo test --locked --test tests sim -- --nocapture

SECONDS ?= 300
crash:
	$(if $(SEED),SEED=$(SEED)) CRASH_SECONDS=$(SECONDS) cargo test --locked --test tests crash::whenever -- --nocapture

bench:
	cargo bench --locked

ci:
	./.ci/run

run:
	cargo run --release --locked -- serve

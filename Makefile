# Everyday commands. `make ci` is exactly what CI runs.

.PHONY: help check test sim bench ci run

help:
	@echo "make check            formatting, lints, shape of the tree"
	@echo "make test             all tests"
	@echo "make sim [SEED=n]     the seeded simulation; SEED repeats a run"
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

bench:
	cargo bench --locked

ci:
	./.ci/run

run:
	cargo run --release --locked -- serve

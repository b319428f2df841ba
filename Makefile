# The two commands that do everything: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build run test lint unit sim simulation mutants e2e images kind fuzz bench soak crds fmt clean

# Everything that is built lies outside the clone.
export RINGKV_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ringkv
export CARGO_TARGET_DIR ?= $(RINGKV_CACHE)/target
export ROCKSDB_STATIC := 1
# Found once RocksDB is built; `scripts/cargo` builds it first where it is missing.
CARGO := scripts/cargo
BIN := $(CARGO_TARGET_DIR)/release

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install what is missing (Debian packages, Python packages into the cache)
	@scripts/setup

build: setup ## Build kv-node and kv-operator
	$(CARGO) build --release -p kv-node -p kv-operator

run: build ## Run examples/cluster.yaml: three nodes on this machine, until Ctrl-C
	$(BIN)/kv-operator local -f examples/cluster.yaml

test: setup ## Every test, but for the long ones of `make kind` and the endless `make soak`
	scripts/test

lint: setup ## Formatting and clippy
	cargo fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --features kv-tests/bench -- -D warnings

unit: setup ## Unit and property tests of all crates
	$(CARGO) test --release --workspace

sim: setup ## Replay one seed of the simulation: make sim SEED=7
	$(CARGO) run --release -p kv-tests --bin sim -- --seed $(or $(SEED),1) --trace

simulation: setup ## The simulation as CI runs it (SEEDS=n for more)
	$(CARGO) test --release -p kv-tests --test simulation -- --nocapture

mutants: setup ## Classic bugs, each of which the simulation must catch
	$(CARGO) test --release -p kv-tests --features mutants --test mutants -- --nocapture

e2e: build ## Real processes and real clients
	scripts/e2e

fuzz: setup ## Fuzz a parser of foreign bytes: make fuzz TARGET=condition (SECONDS=n for longer than 60)
	@scripts/fuzz "$(TARGET)" $(or $(SECONDS),60)

images: build ## Pack both programs into OCI archives below the target folder, images/{kv-node,kv-operator}.tar
	scripts/images
	@echo "the kubectl plugin: install -m 755 $(BIN)/kv-operator /usr/local/bin/kubectl-ringkv"

kind: build ## The operator on a real Kubernetes (kind, built from packages; about 40 minutes, and 13 more the first time)
	scripts/kind

bench: setup ## Measure the floors against DynamoDB Local and etcd; one part alone: make bench ONLY=get (put, cluster, kill, idle, start, splits, moves, balance, restart, heat)
	scripts/bench $(ONLY)

soak: setup ## The simulation until stopped
	$(CARGO) run --release -p kv-tests --bin sim -- --soak

crds: setup ## Write crds/ anew
	$(CARGO) run --release -p kv-operator -- crds --write crds
	cp crds/*.yaml charts/ringkv/files/

fmt: ## Format the code
	cargo fmt --all

clean: ## Remove what was built in the cache
	rm -rf "$(CARGO_TARGET_DIR)"

# The two commands of a user are `make run` and `make test`; the others are for whoever changes the code.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# Byte code is kept beside the tools, wherever else Python was told not to keep any: without it every worker
# and every daemon that a test starts would compile everything anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(CURDIR)/.venv/pycache $(BIN)/python -m pytest
# Which seeds the long simulation plays, how long the mixed cluster runs, and what else the benchmark shall be told.
SOAK_SEEDS ?= 0..10000
RAFT_SEEDS ?= 0..10000
CHECKS_SEEDS ?= 0..10000
SOAK_MINUTES ?= 30
PERF_OPTIONS ?=
CHECKS_OPTIONS ?=
RAFT_OPTIONS ?=
# Most tests wait more than they compute, so there are more workers than two cores; those that judge a real
# clock, or fill the machine, are marked `alone` and come one by one; of the unit tests they are in three rooms only.
WORKERS := -n 3 --dist worksteal
CLOCKS := tests/daemon tests/election tests/system
OTHERS := --ignore=compat-tests/raft --ignore=compat-tests/ipvs

.PHONY: help setup setup-test run test test-ipvs check format man perf bench-checks bench-raft soak soak-simulation simulate-raft simulate-checks clean

help:
	@echo 'make run              two nodes in network namespaces: watch a reload and a failover (root)'
	@echo 'make run CONF=FILE    the daemon in the foreground on this host, with FILE'
	@echo 'make test             every check and test, the comparison with the real keepalived included (root)'
	@echo 'make test-ipvs        virtual servers beside the real keepalived, in a kernel with IPVS (root)'
	@echo 'make check            format, lint, types, import rules, manual, unit tests: under a minute'
	@echo 'make format           let ruff rewrite what it can'
	@echo 'make man              write the manual pages anew from the keyword table'
	@echo 'make perf             benchmarks beside the real keepalived (root)'
	@echo 'make bench-checks     health checks beside the real keepalived, seven minutes (root)'
	@echo 'make bench-raft       clusters in network namespaces: every fault many times, and its times (root)'
	@echo 'make soak             255 instances beside the real keepalived for SOAK_MINUTES (30; root)'
	@echo 'make soak-simulation  the simulation over SOAK_SEEDS (0..10000)'
	@echo 'make simulate-raft    the election by quorum in virtual time over RAFT_SEEDS (0..10000)'
	@echo 'make simulate-checks  virtual servers against a model, over CHECKS_SEEDS (0..10000)'

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

run: setup
ifdef CONF
	exec $(BIN)/keepalived-py -n -l -D -f '$(CONF)'
else
	@exec $(BIN)/python scripts/demo.py
endif

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/make_man.py --check
	$(PYTEST) tests -q $(WORKERS) -m 'not slow and not netns and not alone'
	$(PYTEST) $(CLOCKS) -q -m 'alone and not slow and not netns'

test: setup-test check
	$(PYTEST) tests -q $(WORKERS) -m 'slow and not netns and not alone'
	$(PYTEST) tests -q -m 'netns or (slow and alone)'
	$(PYTEST) compat-tests -q -n 4 --dist loadfile -m 'not alone' $(OTHERS)
	$(PYTEST) compat-tests -q -m alone $(OTHERS)
	$(PYTEST) compat-tests/raft -q -n 2 --dist loadfile
	$(PYTEST) compat-tests/ipvs -q -n 2 --dist loadfile

test-ipvs: setup-test
	$(PYTEST) compat-tests/ipvs -q -n 2 --dist loadfile

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

man: setup
	$(BIN)/python scripts/make_man.py

perf: setup-test
	$(BIN)/python compat-tests/perf/bench.py $(PERF_OPTIONS)

bench-checks: setup-test
	$(BIN)/python compat-tests/perf/bench_checks.py $(CHECKS_OPTIONS)

bench-raft: setup-test
	$(BIN)/python compat-tests/raft/bench_raft.py $(RAFT_OPTIONS)

soak: setup-test
	$(BIN)/python compat-tests/perf/soak.py $(SOAK_MINUTES)

soak-simulation: setup
	$(BIN)/python -m keepalived_py.simulation --seeds $(SOAK_SEEDS)

simulate-raft: setup
	$(BIN)/python -m keepalived_py.simulation.raft --seeds $(RAFT_SEEDS)
	$(BIN)/python -m keepalived_py.simulation.raft.failover

simulate-checks: setup
	$(BIN)/python -m keepalived_py.simulation.checks --seeds $(CHECKS_SEEDS) --jobs 2

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

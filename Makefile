# hookd. `make` shows what there is.
.DEFAULT_GOAL := help
.PHONY: help run test lint format bench crash soak simulate fuzz clean

KILLS ?= 200
MINUTES ?= 10
SEEDS ?= 3000
FIRST ?= 0
SECONDS ?= 60

PYTHON ?= python3
BIN := .venv/bin

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run  ## start the daemon on config.toml, at http://127.0.0.1:8080
	@$(BIN)/hookd run --config config.toml

test: lint  ## the whole suite, with the linters first
	$(BIN)/python -m pytest -x -q --numprocesses 3 --dist loadfile

lint: .venv/dev  ## ruff, mypy, and that imports run downwards
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/run  ## measure this machine: every scenario but the soak and the simulation
	$(BIN)/hookd bench drain
	$(BIN)/hookd bench pipeline
	$(BIN)/hookd bench fanout
	$(BIN)/hookd bench isolation
	$(BIN)/hookd bench backlog
	$(BIN)/hookd bench endpoints
	$(BIN)/hookd bench latency
	$(BIN)/hookd bench rate
	$(BIN)/hookd bench verify

crash: .venv/dev  ## kill a daemon under load KILLS times (200), harass three on one server, and look for what is lost
	HOOKD_CRASH_KILLS=$(KILLS) HOOKD_CRASH_EVENTS=$$(( $(KILLS) * 80 )) HOOKD_CRASH_TROUBLES=$$(( $(KILLS) / 2 )) $(BIN)/python -m pytest -q -s tests/crash

soak: .venv/run  ## run at half the capacity for MINUTES (10), with failures and restarts
	$(BIN)/hookd bench soak --minutes $(MINUTES)

simulate: .venv/dev  ## SEEDS (3000) courses of the delivery loop under a simulated clock, network and crashes
	HOOKD_SIMULATION_FIRST=$(FIRST) HOOKD_SIMULATION_SEEDS=$(SEEDS) $(BIN)/python -m pytest -x -q tests/simulation

fuzz: .venv/fuzz  ## lay hands on signed requests for SECONDS (60), and see that no verifier is fooled or fails
	$(BIN)/python -m tests.signing.fuzz -max_total_time=$(SECONDS)

clean:  ## remove what the other targets made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/run: pyproject.toml | $(BIN)/python
	@echo "installing hookd into .venv, once"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev: pyproject.toml | $(BIN)/python
	@echo "installing hookd and its tests' tools into .venv, once"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/run

.venv/fuzz: .venv/dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

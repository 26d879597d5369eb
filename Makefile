# hookd. `make` shows what there is.
.DEFAULT_GOAL := help
.PHONY: help run test lint format bench clean

PYTHON ?= python3
BIN := .venv/bin

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/run  ## start the daemon on config.toml, at http://127.0.0.1:8080
	@$(BIN)/hookd run --config config.toml

test: lint  ## the whole suite, with the linters first
	$(BIN)/python -m pytest -x -q

lint: .venv/dev  ## ruff, mypy, and that imports run downwards
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/run  ## measure this machine
	$(BIN)/hookd bench drain
	$(BIN)/hookd bench pipeline
	$(BIN)/hookd bench latency

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

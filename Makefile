# The one door for commands. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 3

.PHONY: help setup dev run demo test check fmt bench bench-long chaos chaos-quick judges judges-quick audit sbom lock clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(VENV)/.runtime ## Make .venv and install what the service needs
dev: $(VENV)/.dev ## The same, with everything for tests and checks

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.x ..."; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install -q --require-hashes -r requirements.lock
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	$(PIP) install -q --require-hashes -r requirements-dev.lock
	@touch $@

run: setup ## Start everything: database, API, worker (Ctrl-C stops it)
	@exec $(BIN)/fulfillment serve

demo: setup ## Walk a whole order through the running server
	@$(BIN)/fulfillment demo

test: dev ## Run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: dev ## Format, lint, types, import order, bandit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/bandit -q -r src -c pyproject.toml

fmt: dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: dev ## Measure: ours, a hand-written floor, the limit
	$(BIN)/python bench/run.py

bench-long: dev ## Measure: a million past orders, and memory over ten minutes
	$(BIN)/python bench/flat.py
	$(BIN)/python bench/memory.py

chaos: dev ## Faults under load, ten minutes at most
	$(BIN)/python -m tests.chaos

chaos-quick: dev ## The two minutes of it that every change has to pass
	$(BIN)/python -m tests.chaos --quick

judges: dev ## Ask those who did not write this: linters, generators, foreign clients, fuzzers
	$(BIN)/python -m tests.judges

judges-quick: dev ## Those of them who answer within a minute
	$(BIN)/python -m tests.judges --quick

audit: dev ## Ask for known vulnerabilities of what is pinned; fails when nobody could be asked
	$(BIN)/python -m tests.security.advisories

sbom: dev ## Write what the service is made of to dist/sbom.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.json requirements.lock

lock: ## Pin every dependency anew (needs uv)
	uv pip compile -q --generate-hashes --no-emit-index-url --universal --extra build pyproject.toml -o requirements.lock
	uv pip compile -q --generate-hashes --no-emit-index-url --universal --all-extras -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove what was built, not what was stored
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis

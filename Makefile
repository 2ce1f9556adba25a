# Everything a person or CI does with a checkout. `make` prints the targets.
# Each target makes the virtual environment .venv first when it is missing or stale.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# What the environment was made from: a change of these makes it stale.
STAMP  := $(VENV)/.made-from-$(shell cat pyproject.toml constraints.txt 2>/dev/null | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help demo up test check lint soak bench clean venv constraints

help:  ## Print the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: venv  ## Three real clusters converge on a Git repo; a commit, an edit by hand healed, a revert. The first thing to run.
	@$(BIN)/python examples/demo.py

up: venv  ## Everything on this machine in one terminal, with three local clusters and the example fleet.
	@$(BIN)/python examples/demo.py up

test: venv lint  ## All tiers, with real API servers, Valkey, Celery workers and Git servers.
	@$(BIN)/pytest tests

check: venv lint  ## Format, lint, types, contracts, unit and property tests: about a minute.
	@$(BIN)/pytest tests/unit tests/properties

lint: venv  ## The static part of check.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

soak: venv  ## The kill and wipe tests, many times over (about half an hour).
	@UNDRIFT_SOAK=1 $(BIN)/pytest tests/acceptance -k "kill or wipe or flushall"

bench: venv  ## The benchmarks; ratios in one run, into docs/benchmarks.md. FULL=1: all sizes and repeats.
	@$(BIN)/python -m benchmarks $(if $(FULL),--full)

venv: $(STAMP)  ## Just the virtual environment .venv.

$(STAMP):
	@echo "making $(VENV) (once; a few minutes on an empty cache)"
	@rm -rf $(VENV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Undrift needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r constraints.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

constraints:  ## Resolve pyproject.toml anew into constraints.txt (hashed, without index addresses).
	@$(PYTHON) -m venv build/constraints && build/constraints/bin/pip install --quiet pip-tools
	@build/constraints/bin/pip-compile --quiet --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-emit-trusted-host --no-header --strip-extras --allow-unsafe --output-file constraints.txt pyproject.toml

clean:  ## Remove the environment and what tests left; keeps the cache of binaries.
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage *.egg-info

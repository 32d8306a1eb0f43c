# Every verb sets up what it needs in .venv. PYTHON chooses the interpreter that makes it (3.11 or newer).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# One thread per test process: two processes with two threads each collapse on two cores.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST := $(THREADS) $(BIN)/python -m pytest -n $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format style layers types docs bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[test]"
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## fit a small joint distribution and ask it four questions
	$(BIN)/genprob demo --out demo

test: $(VENV)/.installed-test  ## the default tests
	$(PYTEST)

test-all: $(VENV)/.installed-test  ## the slow ones too
	$(PYTEST) -m ""

lint: format style layers types  ## format, style, import layers, types

format: $(VENV)/.installed-test
	$(BIN)/ruff format --check .

style: $(VENV)/.installed-test
	$(BIN)/ruff check .

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports

types: $(VENV)/.installed-test
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.installed-test  ## rewrite the generated pages of docs/reference
	$(BIN)/python docs/generate.py

bench: $(VENV)/.installed-test  ## run every benchmark; each writes a table into docs/benchmarks
	$(THREADS) $(BIN)/python benchmarks/run_all.py

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist

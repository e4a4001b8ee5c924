# Everything below sets itself up: a virtual environment in .venv, with minicnn installed in it.
#
#   make train        LeNet-5 on real images: a run folder with weights and figures
#   make test         all tests but the longest (under 10 minutes on two cores)
#   make lint         ruff and mypy
#   make test-slow    the long sweeps          make test-torch   comparisons with PyTorch
#   make test-long    gradient checks of the largest small networks, minutes each
#   make cuda-check   compiles the CUDA kernels for three GPU generations (no GPU needed)
#   make gpu-check OUT=folder   on a machine with a GPU: its tests, then the benchmark
#   make bench        training speed and memory beside PyTorch, which it installs (about 6 minutes)
#   make notebooks    executes the notebooks   make bench-accuracy   the README's accuracies
#   make check-report looks at a report as a browser shows it (needs Chromium)
#   make clean        removes the environment and caches (never runs/)

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Pip's stamp files: an environment is made once, and again when pyproject.toml changes.
BASE := $(VENV)/.installed
TEST := $(VENV)/.installed-test
LINT := $(VENV)/.installed-lint
TORCH := $(VENV)/.installed-torch
NVRTC := $(VENV)/.installed-nvrtc
OUT ?= gpu-check
WORKERS ?= 2

.PHONY: train test lint format test-slow test-long test-torch cuda-check gpu-check notebooks check-report bench bench-accuracy bench-gradcheck clean

train: $(BASE)
	$(BIN)/minicnn train

test: $(TEST)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not torch"

test-slow: $(TEST)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "slow and not long"

test-long: $(TEST)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m long

test-torch: $(TORCH)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m torch

cuda-check: $(NVRTC)
	$(BIN)/python -m scripts.compile_cuda

# With the python3 that is there, whose packages it names where some are missing: nothing is installed.
gpu-check:
	$(PYTHON) -m benchmarks.gpu_check $(OUT)

lint: $(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(LINT)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(TEST)
	$(BIN)/python scripts/run_notebooks.py

check-report: $(BASE)
	$(BIN)/python scripts/check_report.py

bench-accuracy: $(BASE)
	$(BIN)/python -m benchmarks.accuracy

bench: $(TORCH)
	$(BIN)/python -m benchmarks.cpu_training

bench-gradcheck: $(TORCH)
	$(BIN)/python -m benchmarks.gradcheck

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "minicnn needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing. Install it first, on Debian or Ubuntu:"; \
		  echo "    sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BASE): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(TEST): pyproject.toml $(BASE)
	$(BIN)/python -m pip install --quiet -e ".[test]"
	@touch $@

$(LINT): pyproject.toml $(BASE)
	$(BIN)/python -m pip install --quiet -e ".[lint]"
	@touch $@

$(NVRTC): pyproject.toml $(BASE)
	$(BIN)/python -m pip install --quiet -e ".[cuda-check]"
	@touch $@

$(TORCH): pyproject.toml $(TEST)
	$(BIN)/python -m pip install --quiet -e ".[bench]"
	@touch $@

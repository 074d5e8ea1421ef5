# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs: Python 3.11 or later, make and git are enough.
# Another interpreter than the first on PATH: make train UV_PYTHON=/path/to/python3.12

ARGS ?=
# For `make test-jax...`, which needs Python 3.12 or later.
PYTHON312 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python3) 3.12)

# The uv on PATH, else one of this version in an environment of its own.
UV_VERSION := 0.13.9
UV := $(if $(shell command -v uv 2>/dev/null),uv,.venv-uv/bin/uv)
BOOTSTRAP := $(filter .venv-uv/bin/uv,$(UV))
BOOTSTRAP_PYTHON := $(or $(UV_PYTHON),python3)

.DEFAULT_GOAL := help
.PHONY: help train test test-slow test-multidevice test-browser test-gpu test-jax011 test-jax012 lint format types pins clean

help: ## list these targets
	@sed -n 's/^\([a-z0-9 -]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 26

train: $(BOOTSTRAP) ## train the default model, or what ARGS says: make train ARGS="tinystories:swiglu"
	@echo "installing what is missing of Python's packages"
	$(UV) run train.py $(ARGS)

test: $(BOOTSTRAP) ## run the quick tests; ARGS goes to pytest
	$(UV) run pytest $(ARGS)

test-slow: $(BOOTSTRAP) ## run the slow tests and those that start several processes
	$(UV) run pytest -m "(slow or multiprocess) and not gpu" $(ARGS)

test-multidevice: $(BOOTSTRAP) ## run the tests on eight devices, which a CPU makes itself
	$(UV) run pytest -m multidevice --dist=loadgroup $(ARGS)

test-browser: $(BOOTSTRAP) ## run the tests of pages in a headless Chromium, where one is installed
	$(UV) run pytest -m browser $(ARGS)

test-gpu: $(BOOTSTRAP) ## run the tests that need an NVIDIA GPU, on Python 3.12 or later
	XLA_PYTHON_CLIENT_PREALLOCATE=false JAX_PLATFORMS=cuda $(UV) run --extra cuda pytest -m gpu --dist=load $(ARGS)

test-jax011: JAX := 0.11.2
test-jax012: JAX := 0.12.*
test-jax011 test-jax012: test-jax%: $(BOOTSTRAP) ## run the quick tests on Python 3.12 and that JAX
	$(UV) venv --quiet --allow-existing --python $(PYTHON312) .venv-312-jax$*
	$(UV) pip install --no-config --python .venv-312-jax$* --group dev --editable . 'jax==$(JAX)'
	.venv-312-jax$*/bin/python -m pytest $(ARGS)

lint: $(BOOTSTRAP) ## check style, formatting and that every dependency is pinned
	$(UV) run ruff check
	$(UV) run ruff format --check
	$(UV) run .ci/pin.py --check

format: $(BOOTSTRAP) ## format the code and mend what ruff can
	$(UV) run ruff check --fix
	$(UV) run ruff format

types: $(BOOTSTRAP) ## check the types
	$(UV) run mypy

pins: $(BOOTSTRAP) ## bring the versions pinned in pyproject.toml up to date
	$(UV) run --no-project --python '>=3.11' .ci/pin.py

clean: ## remove caches and build outputs; environments, runs and prepared data stay
	rm -rf build dist .*_cache
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

.venv-uv/bin/uv:
	@$(BOOTSTRAP_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "Python 3.11 or later is needed, $(BOOTSTRAP_PYTHON) is not that: name one, as in" \
	  "'make UV_PYTHON=/path/to/python3.12 $(MAKECMDGOALS)'" >&2; exit 1; }
	$(BOOTSTRAP_PYTHON) -m venv --clear .venv-uv
	.venv-uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

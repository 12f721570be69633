# Everything that a developer or a curious visitor types. Works with GNU make 3.81 on, which is
# what macOS has. Each target does its own set-up; ARGS are passed on: make test ARGS="-k consent".

PYTHON ?= python3.11
WORKERS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/installed
SMALL_MODEL := models/base/SmolLM2-135M-Instruct/config.json

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz lint clean

help:
	@echo "make demo    chat with the bot on a local Discord in the browser; no account needed"
	@echo "             ARGS=--once plays a day and a night unattended and prints the outcome"
	@echo "make test    run all tests and measure branch coverage; with ARGS, which pytest gets, only run"
	@echo "make fuzz    draw 20,000 inputs for each test of tests/fuzz; FUZZ_EXAMPLES says how many"
	@echo "make lint    check style and types, of tests and benchmarks as well"
	@echo "make setup   make the environment in $(VENV); the other targets call it"
	@echo "make clean   remove the environment and all caches, and keep data and models"

setup: $(STAMP)

# torch goes first and exactly: a range could bring gigabytes of CUDA packages along.
$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 is needed and $(PYTHON) is not it; name yours: make setup PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $(STAMP)

$(SMALL_MODEL): | $(STAMP)
	$(RUN) -m engine fetch-small

demo: setup $(SMALL_MODEL)
	$(RUN) -m bot demo $(ARGS)

# Without a network the tests still run; those that need the small model are skipped by name. Some of
# the tests cannot reach the floor of coverage in pyproject.toml, so it is measured over all of them.
COVERAGE = $(if $(ARGS),,--cov --cov-report=)
test: setup
	@test -f $(SMALL_MODEL) || $(RUN) -m engine fetch-small || \
	  echo "The small model could not be fetched: the tests that need it are skipped."
	$(RUN) -m pytest -n $(WORKERS) $(COVERAGE) $(ARGS)

# A night's work: five tests of the engine alone are 100,000 inputs.
FUZZ_EXAMPLES ?= 20000
fuzz: setup
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(RUN) -m pytest tests/fuzz --timeout 14400 $(ARGS)

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

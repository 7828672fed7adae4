# `make` lists the targets. All except `help` first set up $(VENV); if that is done already, it takes no time.
# ARGS="..." is passed to train_sac.py, pytest or benchmarks.gpu; PYTHON=, TORCH=cpu|cuda and VENV= to the set-up (.ci/setup).
VENV ?= .venv
ARGS ?=
python := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev train vision test test-slow check links docs bench gpu

help: ## print this list
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.12] [TORCH=cpu|cuda] [VENV=.venv]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make the virtual environment, all versions pinned; a second call installs nothing
	@.ci/setup

setup-dev: ## the same, and the developers' tools: ruff, mypy, codespell, Ray, Selenium
	@.ci/setup dev

train: setup ## train SAC with FIRE on h1-walk, quick preset (10 minutes on one core)
	$(python) train_sac.py --env h1-walk --reinit fire --preset quick $(ARGS)

vision: setup ## compare five methods on warm-started images, three seeds, with a report (5 minutes on two cores)
	$(python) compare.py --agent vision --preset quick --reinit none reset shrink-perturb dash fire --seeds 0-2 \
	  --branch-at phase $(ARGS)

# Tests start many processes, which load their modules faster from compiled files.
test: export PYTHONDONTWRITEBYTECODE =
test: setup ## run the tests on all cores, 11 minutes on two (ARGS="-n 0 tests/test_docs.py": one file, one process)
	$(python) -m pytest --numprocesses auto --dist worksteal $(ARGS)

test-slow: setup-dev ## run the long tests, which `make test` leaves out
	$(python) -m pytest -m slow --timeout 3600 $(ARGS)

check: setup-dev links ## check style, docstrings (ruff), spelling (codespell) and types (mypy)
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m codespell_lib
	$(python) -m mypy

links: # the packages below the name fire_rl, for tools that read the code without importing it
	@mkdir -p .links/fire_rl && ln -sfn $(addprefix ../../,agents commands data envs experiments fire remote replay training \
	  $(wildcard fire_rl/*.py)) .links/fire_rl/

docs: setup-dev links ## build the documentation as a site, site/index.html, which can be read offline
	NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict

# They train for an hour, test something else than speed, need arguments, or are parts of others.
not_speed := checkouts convolutions coverage diagnosis differences dip dqn_loop dqn_peers floors killed long_runs published_h1 \
  quick_preset races soak timing torture

bench: setup ## run all benchmarks of speed, some minutes each
	@for name in $(filter-out $(not_speed), $(notdir $(basename $(wildcard benchmarks/[a-z]*.py)))); do \
	  echo "== benchmarks/$$name.py"; $(python) -m benchmarks.$$name || exit 1; \
	done

gpu: setup ## measure on a GPU, with one table in benchmarks/results (10 minutes; ARGS="--list" names its parts)
	$(python) -m benchmarks.gpu $(ARGS)

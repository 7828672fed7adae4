# `make` lists the targets. All but `help` first set up $(VENV), which takes no time once it is done.
# ARGS="..." reaches train_sac.py, pytest or benchmarks.gpu; PYTHON=, TORCH=cpu|cuda and VENV= reach the set-up (.ci/setup).
VENV ?= .venv
ARGS ?=
python := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev train vision test test-slow check links docs bench gpu

help: ## this list
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.12] [TORCH=cpu|cuda] [VENV=.venv]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## the virtual environment with everything pinned; a second call installs nothing
	@.ci/setup

setup-dev: ## the same with the developers' tools: ruff, mypy, Ray, Selenium
	@.ci/setup dev

train: setup ## the main job, quick form: SAC with FIRE on h1-walk (10 minutes on two cores)
	$(python) train_sac.py --env h1-walk --reinit fire --preset quick $(ARGS)

vision: setup ## a warm start on images with five methods and three seeds, and their report (5 minutes on two cores)
	$(python) compare.py --agent vision --preset quick --reinit none reset shrink-perturb dash fire --seeds 0-2 \
	  --branch-at phase $(ARGS)

# Tests start many processes, each of which loads its modules sooner once they are compiled.
test: export PYTHONDONTWRITEBYTECODE =
test: setup ## the tests, on all cores (ARGS="-n 0 tests/test_docs.py" for one file in one process)
	$(python) -m pytest --numprocesses auto --dist worksteal $(ARGS)

test-slow: setup-dev ## the long tests, which `make test` leaves out
	$(python) -m pytest -m slow --timeout 3600 $(ARGS)

check: setup-dev links ## ruff and mypy
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy

links: # the rooms under their one name, for tools that read the code without importing it
	@mkdir -p .links/fire_rl && ln -sfn $(addprefix ../../,agents commands data envs experiments fire remote replay training \
	  $(wildcard fire_rl/*.py)) .links/fire_rl/

docs: setup-dev links ## the documentation as a site, site/index.html; it can be read without a network
	NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict

# quick_preset trains for about an hour; it is run by hand: python -m benchmarks.quick_preset
bench: setup ## the benchmarks, all but quick_preset
	@for name in $(filter-out quick_preset dqn_loop dqn_peers floors timing, $(notdir $(basename $(wildcard benchmarks/[a-z]*.py)))); do \
	  echo "== benchmarks/$$name.py"; $(python) -m benchmarks.$$name || exit 1; \
	done

gpu: setup ## what a GPU shows, in one table under benchmarks/results (10 minutes; ARGS="--list" names its parts)
	$(python) -m benchmarks.gpu $(ARGS)

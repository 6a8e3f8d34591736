# Every target first creates .venv with the versions in constraints.txt, if needed.
PYTHON ?= python3
CONFIG ?= digits
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev-ready

.DEFAULT_GOAL := help
.PHONY: help setup train eval test lint format type check bench audit clean test-long

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18
	@echo
	@echo '  make train CONFIG=configs/fashion_mnist.yaml ARGS="data.root=DIR training.epochs=5"'

TEXTS := dlcli configs docs/*.md README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md
TABLES := islp palmerpenguins plotnine vega-datasets  # the extra `tables`, of which only the CSV files are used
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dlcli needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	@touch $(READY)

$(DEV): $(READY)
	$(INSTALL) '.[dev,browser,export,notebook,peers,postgres,sweep,tensorboard]'
	@touch $(DEV)

setup: $(DEV) ## Create .venv with dlcli and all development tools

train: $(READY) ## Train and evaluate CONFIG (a file or a preset; default digits)
	$(BIN)/dlcli train -c $(CONFIG) --eval $(ARGS)

eval: $(READY) ## Evaluate the newest run on its test split
	$(BIN)/dlcli eval $(ARGS)

test: $(DEV) ## Run the whole test suite
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-long: $(DEV) ## Run hundreds of kills, signals, starved and racing runs, and real tables (some minutes)
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt $(TABLES)
	$(BIN)/python -m pytest -m long $(ARGS)

lint: $(DEV) ## Check style, package layers, spelling and wording
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell
	! grep -rnEi -f .ci/banned-phrases $(TEXTS)

format: $(DEV) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(DEV) ## Check types
	$(BIN)/mypy

check: lint type test ## Run all checks that CI runs

bench: $(READY) ## Compare training speed with PyTorch's tutorial loop
	$(BIN)/dlcli bench --against tutorial $(ARGS)

audit: $(READY) ## Check the tested versions for known vulnerabilities
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip-audit
	$(BIN)/pip-audit -r constraints.txt --no-deps --disable-pip

clean: ## Remove .venv and caches; keep runs
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The commands of this project. Each works as the first one on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help run test check mutants clean venv

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

venv: $(READY) ## Make .venv and install into it

run: $(READY) ## Start the server (CONFIG=file, PORT=number)
	@exec $(BIN)/python server.py $(if $(CONFIG),--config $(CONFIG)) $(if $(PORT),--port $(PORT))

test: $(READY) ## Run the whole test suite
	$(BIN)/python -m pytest

check: $(READY) ## Lint, check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## Remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The commands of this project. Each works as the first one on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := bench/.cache
NODE_PEERS := bench/servers/node/node_modules/.package-lock.json

.PHONY: help venv run test check coverage mutants chaos soak soak-plot interop browser screenshots \
	bench bench-peers bench-scale bench-plots clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

venv: $(READY) ## Make .venv and install into it

run: $(READY) ## Start the server (CONFIG=file, PORT=number)
	@exec $(BIN)/python server.py $(if $(CONFIG),--config $(CONFIG)) $(if $(PORT),--port $(PORT))

test: $(READY) ## Run the whole suite (what needs Node, nginx or chromium says so and skips without)
	$(BIN)/python -m pytest

check: $(READY) ## Lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(READY) ## Run the suite and show what of sessions/ it does not reach
	$(BIN)/coverage run -m pytest --quiet --ignore tests/browser --ignore tests/interop
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutants: $(READY) ## Break each promise on purpose and see that a test notices
	$(BIN)/python -m tests.mutants

chaos: $(READY) ## Run the long experiments of docs/reliability.md (ARGS="kill faults")
	tests/interop/install.sh
	$(BIN)/python -m tests.chaos $(ARGS)

soak: $(READY) ## Load the server for MINUTES=30 and sample what it holds, then draw it
	$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),30) soak
	$(MAKE) soak-plot

soak-plot: $(BENCH)/plots/.ready ## Draw docs/reliability/soak.svg from soak.csv
	$(BENCH)/plots/bin/python -m tests.chaos.soak_plot

interop: $(READY) ## Run the tests with real Node servers (installs their npm packages)
	tests/interop/install.sh
	$(BIN)/python -m pytest tests/interop

browser: $(READY) ## Run the page's tests in chromium, and the server behind nginx with TLS
	$(BIN)/python -m pytest tests/browser

screenshots: $(READY) ## Write docs/page.png and docs/page-360.png
	cd tests && ../$(BIN)/python -m browser.screenshots

bench: $(READY) ## Measure against bare Tornado (ARGS=--quick)
	$(BIN)/python -m bench.run $(ARGS)

bench-peers: $(READY) $(BENCH)/peers/.ready $(NODE_PEERS) ## Measure against other session systems
	$(BIN)/python -m bench.run --groups tornado,peers --connections 64 --out peers $(ARGS)

bench-scale: $(READY) ## Instructions per request; growth, sweep, two processes
	$(BIN)/python -m bench.instructions $(ARGS)
	$(BIN)/python -m bench.scale $(ARGS)

bench-plots: $(BENCH)/plots/.ready ## Draw docs/performance/*.svg from bench/results
	$(BENCH)/plots/bin/python -m bench.plots

$(BENCH)/%/.ready: bench/requirements-%.txt
	$(PYTHON) -m venv $(BENCH)/$*
	$(BENCH)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(NODE_PEERS): bench/servers/node/package-lock.json
	cd $(<D) && npm ci --no-audit --no-fund
	touch $@

clean: ## Remove what was made here
	rm -rf $(VENV) $(BENCH) .mypy_cache .ruff_cache .pytest_cache .hypothesis

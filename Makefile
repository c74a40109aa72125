# The project's tasks. `make` alone lists them; each sets up what it needs.
#
#   PYTHON         the interpreter of the virtual environment; by default the first fit one found
#   TRIVIUM_PORT   and TRIVIUM_DATA go to `make run` as they are

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test test-all check format lock bench bench-quick clean

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip
UV     := uv==0.13.9
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# A set-up is good for these very files in this very folder; its stamp carries their checksum.
stamp = $(VENV)/.$(1)-$(shell { echo '$(CURDIR)'; cat requirements/$(1).txt pyproject.toml; } | cksum | tr ' ' '-')
RUN   := $(call stamp,run)
DEV   := $(call stamp,dev)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: $(RUN) ## what the gateway needs, in .venv
setup-dev: $(DEV) ## what tests and checks need besides

run: $(RUN) ## the gateway on 127.0.0.1:4000 (TRIVIUM_PORT, TRIVIUM_DATA)
	@exec $(BIN)/trivium up

test: $(DEV) ## the tests
	@$(BIN)/python -m pytest

test-all: check test ## checks and tests

check: $(DEV) ## lint, format, types, architecture
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_architecture.py

format: $(DEV) ## mends lint and format in place
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench-quick: $(RUN) ## Trivium against nginx, in under a minute
	@$(BIN)/python bench/quick.py

bench: bench-quick ## every measurement there is

lock: ## the newest versions that fit, with hashes, into requirements/*.txt
	@.ci/python -m venv --clear $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet $(UV)
	@for name in run dev; do \
	  echo "== requirements/$$name.txt"; \
	  if [ $$name = dev ]; then more="requirements/dev.in --constraints requirements/run.txt"; else more=; fi; \
	  $(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate \
	    --extra local pyproject.toml requirements/build.in $$more --output-file requirements/$$name.txt || exit 1; \
	done
	@rm -rf $(VENV)-lock

clean: ## removes .venv, caches and build products
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist src/*.egg-info
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +

$(RUN) $(DEV): $(VENV)/.%-

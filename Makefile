# `make help` lists the targets. Each target first installs the packages that it needs.
SHELL := /bin/sh
PY := .venv/bin/python
export PYTHON
# Some container images set these variables. With the first one, each process of the tests compiles
# all modules. With the second one, output that is not flushed is seen at once.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONUNBUFFERED :=
# Three workers for two cores, because a third of the time they wait for programs.
PYTEST = -m pytest -n 3 --dist worksteal $(if $(AT),--at $(AT))

.DEFAULT_GOAL := help
.PHONY: help setup serve test quick check coverage docs screenshots bench faults audit release clean lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create the virtual environment with the tools for make check and make test
	@bin/setup dev

# The first start creates the user "owner", and shows the password and a session token once.
serve: ## Start everything: private PostgreSQL, migrations, web and worker
	@bin/setup run
	@CODERAPI_FIRST_OWNER_USERNAME=$${CODERAPI_FIRST_OWNER_USERNAME-owner} \
		exec bin/coderapi server $(ARGS)

check: setup ## Run the static checks
	@bin/check

# PG=system tests with the PostgreSQL of this machine. AT=2026-12-31T23:59:30Z sets the time at which
# the tests begin.
test: check ## Run the static checks and all tests
	@PG=$(PG) $(PY) $(PYTEST) $(ARGS)

quick: setup ## Run the tests that start no other program
	@PG=$(PG) $(PY) $(PYTEST) -q -m "not slow" --hypothesis-profile=quick $(ARGS)

coverage: setup ## Run all tests and list the lines that no test runs
	@$(PY) -m coverage erase
	@$(PY) -m coverage run $(PYTEST) $(ARGS)
	@$(PY) -m coverage combine -q
	@$(PY) -m coverage report

docs: setup ## Generate documents from the code
	@bin/documents make

screenshots: setup ## Update the screenshots in the documents (needs Chromium)
	@$(PY) -m tests.support.browsers.screenshots

bench: setup ## Measure the speed beside references, and update docs/performance.md
	@$(PY) -m bench $(ARGS)

faults: setup ## Test failures of dependencies, count lost data, and update docs/reliability.md
	@$(PY) -m bench.faults $(ARGS)

audit: setup ## Check the pinned packages for known vulnerabilities (needs the network)
	@bin/audit

# REPOSITORY=URL is the address to which pages and responses link.
release: test ## Run all tests, and build the files of a release in dist/
	@bin/release build $(if $(REPOSITORY),--repository $(REPOSITORY))

lock: setup ## Resolve dependencies again and write the lock files (needs the network)
	@bin/lock

clean: ## Remove the virtual environment, built packages and caches, but not the data
	@rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@echo "The data is kept in CODERAPI_DATA_DIR: /var/lib/coderapi for root, else ~/.local/share/coderapi"

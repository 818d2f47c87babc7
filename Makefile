# Everything a person or CI runs. Needs Python 3.11 or newer and make, nothing else.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test check bench crash soak pictures clean

demo: $(VENV)/.runtime
	@exec $(BIN)/eightbells demo $(ARGS)

test: $(VENV)/.develop
	@exec $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar sql

bench: $(VENV)/.develop
	@exec $(BIN)/python -m tests.benchmarks $(ARGS)

crash: $(VENV)/.develop
	@exec $(BIN)/python -m tests.crash $(ARGS)

soak: $(VENV)/.develop
	@exec $(BIN)/python -m tests.soak $(ARGS)

# The pictures of the documents, taken anew in a browser.
pictures: $(VENV)/.develop
	@PICTURES=$(CURDIR)/docs/images $(BIN)/python -m pytest tests/browser $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info

# The versions are pinned with their hashes; --no-deps, since the files name every package there is to install.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the packages (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.develop: requirements/develop.txt $(VENV)/.runtime
	@echo "installing the tools for tests and checks (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/develop.txt
	@touch $@

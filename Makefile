# Everything a person or CI runs.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=

.PHONY: demo test check bench parity crash soak pictures fresh requirements clean FORCE

demo: $(VENV)/.runtime
	@exec $(BIN)/eightbells demo $(ARGS)

test: $(VENV)/.develop
	@exec $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.develop
	$(PIP) check
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	$(BIN)/python -m sqlfluff lint --disable-progress-bar sql

bench: $(VENV)/.develop
	@exec $(BIN)/python -m tests.benchmarks $(ARGS)

parity: $(VENV)/.develop
	@exec $(BIN)/python -m tests.backtest.parity $(ARGS)

crash: $(VENV)/.develop
	@exec $(BIN)/python -m tests.crash $(ARGS)

soak: $(VENV)/.develop
	@exec $(BIN)/python -m tests.soak $(ARGS)

# The pictures of the documents, taken in a browser.
pictures: $(VENV)/.develop
	@PICTURES=docs/images $(BIN)/python -m pytest tests/browser $(ARGS)

# The commands of the README on bare Debian systems. Needs root.
fresh: $(VENV)/.runtime
	@exec $(BIN)/python -m tests.fresh $(ARGS)

# Resolve the versions again for every platform. Needs uv.
requirements:
	@exec requirements/resolve $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info

# A virtual environment holds its own path and its Python's version: after a move or a new Python it is made again.
PLACE := $(BIN)/python -c 'import sys; print(sys.prefix, *sys.version_info[:2])'
STALE := $(shell place=$$($(PLACE) 2>/dev/null) && test "$$place" = "$$(cat $(VENV)/.place 2>/dev/null)" || echo FORCE)

CHECK := found=$$($(PIP) check) || { echo "$$found"; echo "these packages do not work together: run 'make clean', then this command again"; exit 1; }

# The versions are pinned with their hashes; --no-deps, since the files name every package there is to install.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml bin/eightbells $(STALE)
	@command -v "$(PYTHON)" >/dev/null || { echo "there is no $(PYTHON): install Python 3.11 to 3.14, or name it: make demo PYTHON=..."; exit 1; }
	@"$(PYTHON)" requirements/machine.py
	@test -z "$(STALE)" || { "$(PYTHON)" -m venv --clear $(VENV) && $(PLACE) >$(VENV)/.place; }
	@echo "installing the packages (once, about a minute)"
	@$(PIP) install --quiet --no-deps --require-hashes --requirement requirements/runtime.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(CHECK)
	@touch $@

$(VENV)/.develop: requirements/develop.txt $(VENV)/.runtime
	@echo "installing the tools for tests and checks (once)"
	@$(PIP) install --quiet --no-deps --require-hashes --requirement requirements/develop.txt
	@$(CHECK)
	@touch $@

# Two commands matter: `make run` and `make test`. Everything else they need is made on the way.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: run test lint bench lock venv clean

venv: .venv/installed

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Wattkeeper needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -c 'import alarms.evaluate, billing_core.engine, drivers.bulk_kernel, drivers.engine, drivers.health_kernel'  # compile the kernels now, not at the first scan
	touch .venv/installed

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch .venv/installed-dev

run: venv
	$(BIN)/python run.py $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev
	$(BIN)/python -m tests.bench $(ARGS)

# Needs uv. The lock files carry hashes and no index address, so that any mirror serves.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q requirements.in -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q requirements-dev.in -o requirements-dev.lock

clean:
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

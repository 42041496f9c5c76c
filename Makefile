# Two commands on a fresh machine: `make demo` and `make test`. Each does its own set-up, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Extras that another one holds: what is installed with it is not installed again.
HELD_BY_test := demo
HELD_BY_dev := demo test

# Or each process, of which there are many, would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test slow lint mutants clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

# The fast tests; with SLOW=1 the slow ones too.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(SLOW),-m "slow or not slow") $(COVERAGE)

slow: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

mutants: $(VENV)/.test
	$(BIN)/python tests/mutants.py

# Python compiles a module when it is imported; compiling all of them would take half of pip's time.
$(VENV)/.demo $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: setup.cfg pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable ".[$*]"
	touch $(patsubst %,$(VENV)/.%,$(HELD_BY_$*) $*)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .coverage

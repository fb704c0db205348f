# make demo: from a clone to new digits and a report.   make test: lint, types and the whole suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable

.PHONY: demo test lint types suite format docs clean

demo: $(INSTALLED)
	$(BIN)/reverie demo

test: lint types suite

lint: $(TESTABLE)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(TESTABLE)
	$(BIN)/mypy

suite: $(TESTABLE)
	$(BIN)/pytest -n auto

format: $(TESTABLE)
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

docs: $(INSTALLED)
	$(BIN)/python -m reverie.cli.reference

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(TESTABLE): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) demo runs

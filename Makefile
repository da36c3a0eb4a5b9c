# Commands of the project. `make help` lists them. Everything runs in .venv, which is made on first use.

PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
WORKERS ?= 2

.PHONY: help demo test lint types check lab bench accuracy conformance clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/installed: pyproject.toml tools/make-venv.sh
	@tools/make-venv.sh $(PYTHON)

.venv/installed-dev: .venv/installed
	@tools/make-venv.sh $(PYTHON) dev

demo: .venv/installed  ## analyze the captures in pcaps/: the answer in the terminal, and an HTML report
	@rm -rf demo && mkdir demo
	@$(BIN)/wiretrace analyze pcaps/shop -o demo/shop.case --html demo/report.html
	@echo "Report: demo/report.html"

test: .venv/installed-dev  ## run all tests (needs root)
	@tests/install.sh
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=15

lint: .venv/installed-dev  ## style, format, and the order of the floors
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: .venv/installed-dev  ## mypy --strict, and the types of the report's modules
	@$(BIN)/mypy
	@tests/install.sh
	@tools/check-page-types.sh

check: lint types test  ## lint, types and test

lab: .venv/installed-dev  ## record a real system in network namespaces (LAB="--requests 400 --concurrency 8")
	@tests/lab/install.sh
	@$(BIN)/python -m tests.lab $(LAB)

bench: .venv/installed-dev  ## time and memory, beside tshark in the same run; the report in a browser
	@tests/install.sh
	@$(BIN)/python tools/bench.py
	@$(BIN)/python tools/bench_report.py
	@$(BIN)/python tools/bench_linking.py

accuracy: .venv/installed-dev  ## what share of the truth is found, linked, and paired with packets missing
	@tests/install.sh
	@$(BIN)/python tools/accuracy.py $(ACCURACY)

conformance: .venv/installed-dev  ## agreement with tshark on captures that others recorded (CAPTURES=directory)
	@$(BIN)/python tools/conformance.py $(CAPTURES)

clean:  ## remove what the commands made
	@rm -rf .venv demo bench lab-out

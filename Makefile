# Needs Python 3.11 or newer and make; everything else is installed into .venv, once and again when pyproject.toml changes.
PYTHON ?= python3
ROWS ?= 2000000
BIN := .venv/bin
INSTALLED := .venv/installed
PYTEST := $(BIN)/python -m pytest --durations=10
QUICK := (not slow and not ray and not browser and not gpu)
# pyproject.toml stays below MkDocs 2.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check fix docs bench bench-large clean

help: ## show this list
	@awk -F '## ' '/^[a-z-]+:.*## / { split($$1, target, ":"); printf "make %-12s %s\n", target[1], $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -e '.[all,dev]'
	@touch $@

demo: $(INSTALLED) ## real images to scores, a probe and demo-run/report.html
	$(BIN)/karat demo -o demo-run --overwrite

test: $(INSTALLED) ## the quick tests, a process a processor
	$(PYTEST) -n logical -m "$(QUICK)"

test-all: test ## every test: then slow ones, and those that need Chromium, one after the other
	$(PYTEST) -m "not $(QUICK)"

check: $(INSTALLED) ## format, lint, types, import layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

fix: $(INSTALLED) ## format, and repair what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(INSTALLED) ## build the documentation (strict) and run every example in it and in the code
	$(BIN)/mkdocs build --strict
	$(PYTEST) --doctest-modules --doctest-glob='*.md' src/karat docs README.md

bench: $(INSTALLED) ## speed of the kernel against a pure read of the same memory
	$(BIN)/python benchmarks/kernel.py

bench-large: $(INSTALLED) ## memory and speed on a file of ROWS x 2048 (ROWS=2000000: 8 GB on disk, deleted afterwards)
	$(BIN)/python benchmarks/large.py --rows $(ROWS)

clean: ## remove what the other targets made (.venv and build/ stay)
	rm -rf demo-run dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +

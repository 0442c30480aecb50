# Two commands on a machine that has Python >= 3.11, git and make: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart test nightly mutants check lint types layers format fast docs gpu-bundle clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,int8]" -c constraints.txt
	touch $(STAMP)

quickstart: $(STAMP)  ## run the quickstart sweep, print its exponents, write quickstart.png
	$(BIN)/scalaw run sweeps/quickstart.yaml --store runs/quickstart
	$(BIN)/scalaw plot runs/quickstart -o runs/quickstart.png

test: $(STAMP) check  ## everything that CI runs
	$(BIN)/python -m pytest -q -m "not nightly" -n 2 --dist loadscope

nightly: $(STAMP) check  ## all tests, the long stories too, with coverage; then the planted faults
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -q --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m coverage report --fail-under=90
	$(MAKE) mutants

mutants: $(STAMP)  ## plants 40 faults one by one; each must be caught by the tests of its room
	$(BIN)/python benchmarks/mutants.py

check: lint types layers  ## the fast part

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fast: $(STAMP)  ## tests that need no cluster and no training
	$(BIN)/python -m pytest -q -m "not slow and not nightly"

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -e ".[docs]" -c constraints.txt
	$(BIN)/mkdocs build --strict --site-dir site

gpu-bundle: $(STAMP)  ## what a GPU machine without network lacks, in .gpu-bundle/; there: bash benchmarks/gpu/go.sh
	$(BIN)/python benchmarks/gpu/bundle.py

clean:
	rm -rf $(VENV) runs site .coverage* .mypy_cache .ruff_cache .pytest_cache .gpu-bundle

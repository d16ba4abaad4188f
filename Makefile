PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: setup demo test lint type-check bench regression wheel-check clean

setup: $(BIN)/dubbench

$(BIN)/dubbench: pyproject.toml constraints.txt
	@$(PYTHON) .ci/install.py $(VENV)
	@touch $@

demo: setup
	$(BIN)/dubbench demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type-check: setup
	$(BIN)/mypy -p dubbench -p tests -p benchmarks

bench: setup
	$(BIN)/python -m benchmarks

# A miniature run with a fixed seed against the numbers of the repository.
regression: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.data.regression .scratch/regression
	$(BIN)/dubbench compare tests/data/baseline.csv .scratch/regression --markdown .scratch/regression.md

# The built wheel in an environment of its own, outside the checkout, holds every module of the checkout.
wheel-check: setup
	$(BIN)/python -m tests.data.check_wheel

clean:
	rm -rf build dist .scratch *.egg-info

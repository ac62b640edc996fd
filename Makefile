# `make run` and `make test` are all the set-up there is: both create .venv when it is missing or out of date.
PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
MODULE := .venv/bin/python -m

# Measured points for `make scoreboard`: RIDGELINE_POINTS, or a data folder beside the repository.
POINTS = $(firstword $(RIDGELINE_POINTS) $(wildcard ../*/measured/points_dev.csv))

# A folder with tables of training runs: RIDGELINE_RUNS, or a data folder beside the repository.
RUNS = $(firstword $(RIDGELINE_RUNS) $(wildcard ../*/training))

# Tests start many processes: let the first one keep what Python compiled, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test bench bench-web readme scoreboard site clean

run: .venv/core
	@$(MODULE) ridgeline plan deepseek-v3 gb200-nvl72

test: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright --warnings
	.venv/bin/lint-imports
	$(MODULE) pytest --numprocesses auto --dist loadfile --benchmark-disable

bench: .venv/dev
	$(MODULE) pytest benchmarks --benchmark-only

readme: .venv/dev
	.venv/bin/python docs/transcript.py README.md $(shell find docs -name '*.md')

bench-web: .venv/dev
	.venv/bin/python benchmarks/explorer.py

site: .venv/dev
	.venv/bin/python docs/website.py site

scoreboard: .venv/dev
	@test -n "$(POINTS)" || { echo "no measured points: make scoreboard RIDGELINE_POINTS=FILE"; exit 2; }
	.venv/bin/python docs/scoreboard.py "$(POINTS)" README.md docs/accuracy.md docs/exclusions.md src/ridgeline/catalog/scoreboard.json
	test -z "$(RUNS)" || .venv/bin/python docs/trainingboard.py "$(RUNS)" README.md docs/accuracy.md docs/train.md

clean:
	rm -rf .venv build dist site .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks

# Stamps: .venv/core is what a user has, .venv/dev adds what the tests need.
.venv/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(PIP) --editable .
	@touch $@

.venv/dev: .venv/core
	$(PIP) --editable '.[dev]'
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		{ apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium; } >/dev/null 2>&1; } || \
		echo "no chromium: the explorer's tests in a browser will be skipped"
	@touch $@

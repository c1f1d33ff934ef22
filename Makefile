# Needs Python 3.11 or newer and make; everything else goes into .venv. A .venv that exists is
# used as it is, with the torch that is in it (see constraints.txt).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --constraint constraints.txt --editable
SETTINGS := pyproject.toml setup.py setup.cfg constraints.txt

.NOTPARALLEL:  # two installs into one .venv would collide
.PHONY: help run test test-all test-newest fuzz lint docs benchmark benchmark-more data notebooks kill wheel clean

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "%-16s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime  ## train, predict and design on the packaged alloys, into runs/demo
	$(BIN)/pyro-hea run --out runs/demo

# One thread a worker: several that share the cores would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

test: lint  ## lint, types, and the tests that are not slow
	$(PYTEST) -m "not slow"

test-all: lint  ## the slow ones too, with coverage, which takes half as long again
	$(PYTEST) --cov

CASES ?= 10000
fuzz: $(VENV)/.extra-test  ## many random inputs to each parser: make fuzz CASES=1000000
	CASES=$(CASES) $(PYTEST) tests/fuzz

# A venv of its own, of the newest releases that the ranges of pyproject.toml allow.
test-newest:  ## the tests that are not slow, with the newest releases: PYTHON=python3.13
	test -x .venv-newest/bin/pip || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable ".[test]"
	OMP_NUM_THREADS=1 .venv-newest/bin/pytest --numprocesses 2 --dist worksteal -m "not slow"

lint: $(VENV)/.extra-test $(VENV)/.extra-build-data  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/.extra-docs  ## the documentation, into docs/_build/html
	$(BIN)/sphinx-build --fail-on-warning --keep-going docs docs/_build/html

# Two processes of one thread each; what is timed runs alone.
MEASURE = OMP_NUM_THREADS=1 $(BIN)/pyro-hea benchmark $$protocol --jobs 2 || exit 1

benchmark: $(VENV)/.runtime  ## what the model is held to, into benchmarks: an hour and a half
	for protocol in published random grouped budget disentanglement design; do $(MEASURE); done
	$(BIN)/pyro-hea benchmark speed

benchmark-more: $(VENV)/.runtime  ## the other protocols of the benchmark, into benchmarks
	for protocol in experts semisupervised intervals calibration unseen sources crystals charts separable disorder rediscovery campaign ablation; do \
		$(MEASURE); done

KILLS ?= 300

kill: $(VENV)/.extra-test  ## kill saves at each file operation, and KILLS trainings at random instants
	OMP_NUM_THREADS=1 KILLS=$(KILLS) $(BIN)/pytest tests/kill

# The time of the files, their modes and the time zone would get into the wheel otherwise.
DIST ?= dist
wheel: $(VENV)/.extra-test  ## the wheel of the last commit, into DIST: of the same commit the same bytes
	rm -rf build/source && mkdir -p build/source
	umask 022; git -c tar.umask=0022 archive HEAD | tar -x -C build/source
	umask 022; SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) TZ=UTC \
		$(BIN)/python -m build --wheel --no-isolation --outdir $(DIST) build/source

data: $(VENV)/.extra-build-data  ## build the packaged tables again
	$(BIN)/python data/build.py
	$(BIN)/python data/build_crystals.py

notebooks: $(VENV)/.extra-test  ## execute the notebooks in place
	$(BIN)/python notebooks/execute.py

clean:  ## remove .venv, builds and caches, but no runs
	rm -rf $(VENV) .venv-newest build dist *.egg-info docs/_build .coverage .hypothesis .mypy_cache \
		.pytest_cache .ruff_cache
	find pyro_hea data tests docs -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than the settings it was installed under: the second call installs nothing.
$(VENV)/.runtime: $(SETTINGS) | $(BIN)/pip
	$(INSTALL) .
	@touch $@

$(VENV)/.extra-%: $(SETTINGS) | $(BIN)/pip
	$(INSTALL) ".[$*]"
	@touch $@

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# `make figures` and `make test` are all that a fresh machine needs: Python 3.11+ and make; no compiler, no root.
PYTHON ?= python3
BIN := .venv/bin
# --no-compile halves the time: Python compiles what is imported, and most of the packages never are
PIP := $(BIN)/pip install -q --disable-pip-version-check --no-compile -c constraints.txt

# many programs start here: what Python compiles is kept, whatever the shell says
export PYTHONDONTWRITEBYTECODE :=

PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

.PHONY: help env figures test test-all coverage lab export readme docs paper pysdf clean

help:
	@echo 'make figures   environment, then every stage at probe scale, to figures/'
	@echo 'make test      environment, then the tests'
	@echo 'make test-all  the slow ones too: browser, kills, trainings in two processes'
	@echo 'make coverage  the same as test-all, and which share of the lines it runs'
	@echo 'make lab       JupyterLab on the notebooks'
	@echo 'make export    sdf_dino/ and README.md from the notebooks, cleaned'
	@echo 'make docs      the site, to _docs/html'
	@echo 'make paper     numbers of the paper, and its PDF where latexmk is'
	@echo 'make pysdf     the optional distance back end pysdf, which needs a C++ compiler'
	@echo 'make clean     removes the environment, caches and builds; keeps data/'

env: .venv/.done

.venv/.done: constraints.txt settings.ini setup.py
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'sdf_dino needs Python 3.11 or newer: make PYTHON=python3.x')"
	@echo 'Making .venv (two to three minutes) ...'
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[dev]"
	@touch $@

# pysdf has no wheel: it compiles, and its setup finds Eigen on CPATH alone
pysdf: env
	$(PIP) cmeel-eigen
	CPATH="$$(echo $$PWD/.venv/lib/python3*/site-packages/cmeel.prefix/include/eigen3)" $(PIP) -e ".[pysdf]"

# every x86 processor takes the same instructions, so that the numbers, and the files, stay the same
figures: export MKL_CBWR = AVX2
figures: export ATEN_CPU_CAPABILITY = avx2
figures: export OPENBLAS_CORETYPE = Haswell
figures: env
	$(BIN)/sdf_dino run all probe --workers 0

# the slow tests (browser, kills, trainings in two processes) run in test-all alone
test: env
	$(PYTEST) -m 'not slow'

test-all: env
	$(PYTEST)

# of all tests, with the programs and notebooks that they run
coverage: env
	$(PYTEST) --cov --cov-report=term:skip-covered

lab: env
	$(BIN)/jupyter lab nbs

export: env
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python .ci/readme.py

# the site, to _docs/html; and the paper's numbers, with a PDF where LaTeX is
docs: env
	$(BIN)/python .ci/site.py

paper: env
	$(BIN)/python .ci/paper.py
	if command -v latexmk >/dev/null; then cd paper && latexmk -pdf -interaction=nonstopmode paper.tex; fi

readme: env
	$(BIN)/python .ci/readme.py

clean:
	find . \( -name .venv -o -path ./data \) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	rm -rf .venv build dist _docs htmlcov .coverage .coverage.* *.egg-info .pytest_cache .hypothesis

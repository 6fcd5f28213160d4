# `make figures` and `make test` are all that a fresh machine needs: Python 3.11+, make, a C++ compiler, no root.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: env figures test export readme clean

env: .venv/.done

.venv/.done: constraints.txt settings.ini setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'sdf_dino needs Python 3.11 or newer; set PYTHON=python3.x')"
	$(PYTHON) -m venv .venv
	$(PIP) cmeel-eigen
	# pysdf has no wheel: it compiles, and its setup finds Eigen on CPATH alone
	CPATH="$$(echo $$PWD/.venv/lib/python3*/site-packages/cmeel.prefix/include/eigen3)" $(PIP) -e ".[dev]"
	touch $@

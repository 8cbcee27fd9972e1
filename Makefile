# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin

.PHONY: demo test check docs pictures tour format cover faults lowest readers package bench clean

demo: .venv/installed
	$(BIN)/python -m harmon_eval --tasks geneval,mjhq
	$(BIN)/python -m harmon_eval report runs/harmon-mini-mini

# A worker a core, each with one thread, a file's tests in one worker.
test: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages as a site in site/. A wrong link fails it.
docs: .venv/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -q

cover: .venv/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term --cov-report=html

# Thirty kills at random moments instead of the six of `make test`, and fifteen of a run with
# workers: of its writer or a worker.
faults: .venv/installed-test
	HARMON_EVAL_TEST_KILLS=30 $(BIN)/python -m pytest -k "random or killed_node" \
	  tests/harness/test_one_writer.py tests/harness/test_workers.py

# Ratios of this machine: start, opening a model, adding up, drawing, answering, marking, the harness
# itself. They are written into benchmarks/results; `git diff` there and `python -m benchmarks.compare`
# show what changed. PEERS=PYTHON also runs other harnesses (benchmarks/overhead.py says which).
bench: .venv/installed-test
	$(BIN)/python -m benchmarks $(if $(PEERS),--peers $(PEERS))

# The tests with the oldest versions that pyproject.toml allows, in an environment of their own.
lowest: .venv/bin/python
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --disable-pip-version-check -q uv
	.venv-lowest/bin/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e ".[test]"
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n auto --dist loadfile

# The exports read by lmms-eval too, which brings so much that it has an environment of its own.
readers: .venv/bin/python
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/python -m pip install --disable-pip-version-check -q $(PIP_FLAGS) -e ".[test]" lmms-eval
	OMP_NUM_THREADS=1 .venv-readers/bin/python -m pytest -rs tests/exchange/test_export.py

# The pictures of terminals, of the report and of the bundled model's drawings, on its present weights.
pictures: .venv/installed-test
	$(BIN)/python docs/captures.py
	$(BIN)/python docs/drawings.py

# The notebook docs/tour.ipynb with its outputs, for readers who do not run it.
tour: .venv/installed-test
	$(BIN)/python docs/tour.py

# Wheel and sdist, each in an environment of its own, outside of the checkout.
package: .venv/installed-test
	rm -rf dist
	$(BIN)/python -m pip wheel --disable-pip-version-check -q $(PIP_FLAGS) --no-deps -w dist .
	$(BIN)/python -c 'import os, setuptools.build_meta as b; os.makedirs("dist", exist_ok=True); b.build_sdist("dist")'
	sh tests/packaging/clean_environment.sh dist/*.whl "$(PIP_FLAGS)"
	sh tests/packaging/clean_environment.sh dist/*.tar.gz "$(PIP_FLAGS)"

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("harmon_eval needs Python 3.11 or newer, found " + sys.version.split()[0] + "; try: make PYTHON=python3.11 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_FLAGS) -e .
	@touch $@

.venv/installed-test: pyproject.toml .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_FLAGS) -e ".[test]"
	@touch $@

clean:
	rm -rf .venv .venv-lowest .venv-readers build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

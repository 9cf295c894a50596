# `make` alone lists the commands.
.DEFAULT_GOAL := help
.PHONY: help setup test lint bench docs demo locks

PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 14

.venv/runtime: locks/runtime.txt locks/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("equitrcoder needs Python 3.11 or later; this is %s. Fix: make PYTHON=python3.12 …" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "setting up .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r locks/runtime.txt -r locks/build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: .venv/runtime locks/dev.txt
	@echo "installing what development needs (once)"
	@$(PIP) install --require-hashes -r locks/dev.txt
	@touch $@

setup: .venv/dev  ## create .venv and install everything

demo: .venv/runtime  ## see the main job done, without a key and without a network
	@$(PY) -m equitrcoder demo

test: .venv/dev  ## run all tests
	$(PY) -m pytest -n auto -q

lint: .venv/dev  ## style, format, types, layers, spelling
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/codespell

bench: .venv/dev  ## measure, beside the floors
	$(PY) -m bench

docs: .venv/dev  ## write the generated parts of the documents anew
	$(PY) -m docs.generate

locks: .venv/dev  ## resolve the locks anew
	.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --python-version 3.11 pyproject.toml -o locks/runtime.txt
	echo 'hatchling==1.33.0\neditables' | .venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --python-version 3.11 - -o locks/build.txt
	.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --python-version 3.11 --group dev -c locks/runtime.txt pyproject.toml -o locks/dev.txt

# `make demo` and `make test` do all the set-up themselves, in build/venv. Repeating them repeats only what is needed.

PYTHON ?= python3
# The version that everything was measured with; pyproject.toml says which others do. Where pip would choose a large CUDA
# build that you don't want, name another, with pip's own options: make demo TORCH="torch --index-url ..."
TORCH ?= torch==2.13.0
PYTESTFLAGS ?=

VENV := build/venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint models benchmark clean

demo: models
	$(BIN)/elocute speak examples/portrait.jpg examples/voice.wav -o build/demo.mp4 --sheet build/demo.png

test: lint models
	$(BIN)/python -m pytest $(PYTESTFLAGS)

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/mypy

models: $(VENV)/.engine
	$(BIN)/elocute models --fetch --json > build/models.json

benchmark: models
	$(BIN)/python benchmarks/stages.py

clean:
	rm -rf build dist

$(VENV)/.engine: pyproject.toml | $(BIN)/python
	@echo "Installing the engine's libraries into $(VENV); this happens once"
	$(PIP) install $(TORCH)
	$(PIP) install --editable .
	@touch $@

$(VENV)/.development: pyproject.toml $(VENV)/.engine
	@echo "Installing the tools for tests and checks"
	$(PIP) install --editable ".[dev]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" || \
	  { echo "Elocute needs Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || \
	  { echo "Python's venv module is missing. Install it: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

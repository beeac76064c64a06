# Everything a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
WORKERS ?= 3
BIN := $(VENV)/bin
BENCH_GIB ?= 4
BENCH_REPEAT ?= 3
PROTOS = $(shell find protos -name '*.proto' | sort)

.PHONY: help install proto format check test faults test-compose bench bench-quick bench-wan scale-repository demo lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

install: $(VENV)/.installed ## Create .venv with the locked dependencies

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

proto: install ## Generate the stubs under sdk/ from protos/
	$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=sdk --grpc_python_out=sdk --mypy_out=quiet:sdk --mypy_grpc_out=quiet:sdk $(PROTOS)
	@find sdk/xenkeep -type d -name v1 -exec sh -c 'touch "$$0/__init__.py" "$$0/../__init__.py"' {} \;

lock: install ## Resolve the dependencies again and write the lock files
	$(BIN)/uv pip compile -q --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml --extra demo -o requirements.lock
	$(BIN)/uv pip compile -q --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml --extra dev -o requirements-dev.lock

format: install ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: install ## Format, lint, types, import rules, contracts: everything but the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	tools/check-breaking
	tools/check-generated

# Hundreds of processes are started: none shall compile again what another has compiled already. The order of
# the files is that of tests/support/order.py.
test faults: export PYTHONDONTWRITEBYTECODE =

test: install ## Run all tests, WORKERS files at a time (most of them wait more than they compute)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

faults: install ## Inject every fault, at every step; build/faults/report.json counts what was survived
	XENKEEP_TEST_FAULTS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m scenario \
	  -p tests.support.scenario_report --scenario-report build/faults/report.json

test-compose: install ## Bring the containers up, try them from outside, take them down
	XENKEEP_TEST_COMPOSE=1 tests/compose/with-engine $(BIN)/pytest -rs tests/compose

bench: install ## Measure beside restic, Borg and qemu-img; BENCH_GIB=4, BENCH_REPEAT=3 (build/bench/report.json, chart.svg)
	$(BIN)/python -m tests.bench --install --gib $(BENCH_GIB) --repeat $(BENCH_REPEAT) --report build/bench/report.json

bench-quick: ## The same with half a GiB, once
	$(MAKE) bench BENCH_GIB=0.5 BENCH_REPEAT=1

bench-wan: install ## A copy over 100 Mbit/s and 25 ms one way, beside plain TCP; needs root (build/bench/wan.json)
	$(BIN)/python -m tests.bench.wan --report build/bench/wan.json

conformance: install ## Let independent clients try the simulator; build/conformance/report.json counts what they say
	$(BIN)/python -m tests.conformance

scale: install ## The simulator with 64 hosts and 5,000 VMs: start, memory, events
	XENKEEP_TEST_SCALE=1 $(BIN)/pytest tests/integration/simulator/test_scale.py

scale-repository: install ## A repository of ten million chunks and ten thousand points: memory, index, prune, verification
	$(BIN)/python -m tests.scale --report build/scale/report.json --chart build/scale/curve.svg

demo: install ## Run the whole story on this machine; KEEP=1 leaves it running
	$(BIN)/xenkeep demo $(if $(KEEP),--keep)

clean: ## Remove what was built (not .venv)
	rm -rf build dist

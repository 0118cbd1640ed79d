# lambda-udf: one command each for what people do with a checkout. `make help` lists them.
# Sets up what is missing by itself; says what to install where it cannot.

# The first that is new enough: a shell's own (pyenv's, say) may be another one, or be none at all.
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3
PYTHON3 ?= $(shell for name in $(PYTHONS); do \
  $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$name && exit; done; echo python3)
PYTHON3 := $(PYTHON3)
VENV := .venv
PYTHON := $(VENV)/bin/python
BUILD := build
DIST := $(BUILD)/dist
FUNCTIONS ?= examples/functions
LAMBDA_ENDPOINT ?=
FUNCTION_NAME_FORMAT ?=
PYTEST_ARGS ?=
SUITE ?= trixie
BENCH_ARGS ?=
# Of `make fuzz`: seconds, and which targets. Of `make soak`: minutes.
T ?= 60
TARGETS ?=
# Tests wait more than they compute: one process more than there are processors. A file stays in one process.
JOBS ?= $(shell expr $$(nproc) + 1)

CONTRACT := $(patsubst protos/%.proto,sidecar/%_pb2.py,$(wildcard protos/lambda_udf/v1/*.proto))
PACKAGED_SQL := $(patsubst udf/sql/%,sidecar/lambda_sidecar/sql/%,$(wildcard udf/sql/*.sql))
LIBRARY := $(BUILD)/lambda_udf.so
# As Debian names architectures: this machine's, and the one for which the library is cross-built.
NATIVE := $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
OTHER := $(if $(filter arm64,$(NATIVE)),amd64,arm64)
ARCH ?= $(NATIVE)
LIBRARY_OF_arm64 := $(if $(filter arm64,$(NATIVE)),$(LIBRARY),$(BUILD)/arm64/lambda_udf.so)
LIBRARY_OF_amd64 := $(if $(filter amd64,$(NATIVE)),$(LIBRARY),$(BUILD)/amd64/lambda_udf.so)
TRIPLET_arm64 := aarch64-linux-gnu
TRIPLET_amd64 := x86_64-linux-gnu
CROSS = CC=$(TRIPLET_$(OTHER))-gcc TRIPLET=$(TRIPLET_$(OTHER)) FOREIGN=$(abspath $(BUILD)/$(OTHER)/root) \
  BUILD=$(abspath $(BUILD)/$(OTHER)) PYTHON=$(abspath $(PYTHON))
# A checkout in which everything runs; `build` alone does without what tests and checks need.
WHOLE = build $(VENV)/.ready
SANITIZED := $(BUILD)/sanitized/lambda_udf.so
STACK = $(PYTHON) -m examples.playground
C_FILES = $(wildcard udf/*.c udf/*.h tests/c/*.c tests/c/*.h tests/fuzz/*.c tests/fuzz/*.h bench/load/*.c bench/load/*.h)

# Whatever the shell says: tests start some thousand processes, and each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help demo foreign-tests test test-quick orders planted faults chaos chaos-durable chaos-outbox soak check build images wheel packages fresh clean up sql down format fuzz pictures bench bench-million bench-backlog bench-profile bench-programs
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(WHOLE) ## the main job, shown on a real MySQL with a real Lambda runtime
	@$(PYTHON) -m examples.demo

test: $(WHOLE) $(BUILD)/.test-packages $(SANITIZED) ## every test; PYTEST_ARGS='-k trigger -x' chooses
	@$(MAKE) --no-print-directory -s -C tests/c BUILD=$(abspath $(BUILD)) PYTHON=$(abspath $(PYTHON))
	@$(PYTHON) -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

test-quick: $(VENV)/.ready $(CONTRACT) ## the tests that need no MySQL, no built library and no process: some seconds
	@$(PYTHON) -m pytest -q -n $(JOBS) --dist worksteal tests/pure $(PYTEST_ARGS)

orders: $(VENV)/.ready $(CONTRACT) ## every order of what happens, at greater length than test-quick: N=1000 loops of each test, from SEED=0
	@LAMBDA_UDF_ORDERS=$(or $(N),1000) LAMBDA_UDF_ORDERS_FROM=$(or $(SEED),0) \
	  $(PYTHON) -m pytest -q -n $(JOBS) --dist worksteal tests/pure -k "order or machine" $(PYTEST_ARGS)

planted: $(VENV)/.ready $(CONTRACT) ## faults that were mended, planted again one by one: which tests find each; FAULT=part of a name
	@$(PYTHON) -m tests.planted.run "$(FAULT)"

chaos: $(WHOLE) ## calls while the sidecar, the endpoint, sessions and clients fail at random: N=100000 calls, SEED=7
	@LAMBDA_UDF_CHAOS=1 $(if $(N),LAMBDA_UDF_CHAOS_N=$(N)) $(if $(SEED),LAMBDA_UDF_CHAOS_SEED=$(SEED)) \
	  $(PYTHON) -m pytest -s -p no:cacheprovider tests/chaos/test_chaos_calls.py $(PYTEST_ARGS)

chaos-durable: $(WHOLE) ## calls with a durable execution's name: connections cut at a random byte, the sidecar killed; N=1000, SEED=7
	@LAMBDA_UDF_CHAOS=1 $(if $(N),LAMBDA_UDF_CHAOS_N=$(N)) $(if $(SEED),LAMBDA_UDF_CHAOS_SEED=$(SEED)) \
	  $(PYTHON) -m pytest -s -p no:cacheprovider tests/chaos/test_chaos_durable.py $(PYTEST_ARGS)

soak: $(WHOLE) ## mixed SQL, kills and upgrades for T=60 minutes: do memory, descriptors or times grow? SEED=7
	@$(if $(SEED),LAMBDA_UDF_CHAOS_SEED=$(SEED)) $(PYTHON) -m tests.soak.run $(T)

# Without N each scenario has the length that it has by hand; `make test` runs them short.
chaos-outbox: $(WHOLE) ## kill -9, failover, throttling for as long as one likes; SCENARIO=sidecar, N=1000, SEED=7
	@LAMBDA_UDF_CHAOS=1 $(if $(N),LAMBDA_UDF_CHAOS_N=$(N)) $(if $(SEED),LAMBDA_UDF_CHAOS_SEED=$(SEED)) \
	  $(PYTHON) -m pytest -s -p no:cacheprovider tests/chaos --ignore=tests/chaos/test_chaos_calls.py --ignore=tests/chaos/test_chaos_durable.py $(if $(SCENARIO),-k "$(SCENARIO)") $(PYTEST_ARGS)

# Every row must have one outcome.
faults: $(WHOLE) $(BUILD)/.test-packages ## brings every fault of docs/reliability.md about and writes its tables; N=3 times each
	@$(MAKE) --no-print-directory -s -C tests/c BUILD=$(abspath $(BUILD)) PYTHON=$(abspath $(PYTHON))
	@$(PYTHON) -m tests.faults.run $(or $(N),3)

# What `make test` does in seconds, under libFuzzer and with new examples, for as long as one likes.
fuzz: $(WHOLE) $(BUILD)/.test-packages $(BUILD)/.fuzz-packages ## T=60 seconds of each fuzz target; TARGETS='calls wire' chooses
	@$(PYTHON) -m tests.fuzz.run $(T) $(TARGETS)

# From servers that run for it: `top` takes seconds; `dashboard` four minutes, and Debian's package prometheus.
pictures: $(WHOLE) ## draws docs/pictures/ anew; ONLY=top or dashboard
	@$(PYTHON) -m tests.pictures.run $(ONLY)

check: $(WHOLE) ## formatting, warnings, types, lint
	$(VENV)/bin/clang-format --dry-run --Werror $(C_FILES)
	$(MAKE) --no-print-directory -C udf tidy BUILD=$(abspath $(BUILD)) PYTHON=$(abspath $(PYTHON))
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(VENV)/.ready ## rewrites C and Python as `make check` wants them
	$(VENV)/bin/clang-format -i $(C_FILES)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

build: $(LIBRARY) $(CONTRACT) $(PACKAGED_SQL) ## the library, the Python environment, the generated contract

# The second is for machines that need no library: Macs, and those whose MySQL is in a container.
PIP_WHEEL = $(PYTHON) -m pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps -w $(DIST)
wheel: build $(filter-out $(LIBRARY),$(LIBRARY_OF_$(ARCH))) ## build/dist/lambda_udf-…whl: the command and the library, and without it; ARCH=arm64 or amd64
	@rm -rf $(DIST)
	@$(if $(LIBRARY_OF_$(ARCH)),,$(error ARCH is '$(ARCH)', and amd64 or arm64 is expected))
	@$(PIP_WHEEL) --config-settings library=$(abspath $(LIBRARY_OF_$(ARCH))) .
	@$(PIP_WHEEL) --config-settings library=none .
	@ls $(DIST)/*.whl

# Each from its wheel, which stays beside it.
ARCHITECTURES ?= amd64 arm64
packages: build $(VENV)/.packages $(foreach name,$(ARCHITECTURES),$(filter-out $(LIBRARY),$(LIBRARY_OF_$(name)))) ## build/dist/lambda-udf….deb and .rpm for amd64 and arm64; ARCHITECTURES=amd64 for one
	@rm -rf $(DIST)
	@$(PIP_WHEEL) --config-settings library=none .
	@$(foreach name,$(ARCHITECTURES),$(PIP_WHEEL) --config-settings library=$(abspath $(LIBRARY_OF_$(name))) . && \
	  PYTHONPATH=packaging/wheel $(PYTHON) packaging/packages/build.py $(name) $(DIST) && ) true

fresh: ## `make demo` and `make test` on a fresh Debian, in a root file system of its own; SUITE=bookworm or trixie
	@JOBS=$(JOBS) PYTEST_ARGS='$(PYTEST_ARGS)' packaging/debian/fresh-machine.sh $(SUITE) demo test

images: ## the container images, by Docker Engine: lambda-udf/mysql, /sidecar, /development; MYSQL_TAG=8.4
	@PYTHON=$(PYTHON3) packaging/containers/build.sh

up: $(WHOLE) ## a private MySQL and the sidecar in .run/; FUNCTIONS=dir, LAMBDA_ENDPOINT=url
	@$(STACK) up --functions "$(FUNCTIONS)" --endpoint "$(LAMBDA_ENDPOINT)" \
	  --function-name-format "$(FUNCTION_NAME_FORMAT)"

# Q reaches the program through the environment and unexpanded: make would take $.path in it for its own.
unexport Q
sql: export LAMBDA_UDF_SQL := $(value Q)
sql: $(VENV)/.ready ## runs SQL there: make sql Q='SELECT …'; without Q: standard input
	@$(STACK) sql

down: $(VENV)/.ready ## stops both and removes .run/
	@$(STACK) down

bench: bench-programs ## measures everything side by side; BENCH_ARGS='--only sync boto3 --rounds 2' chooses
	@$(PYTHON) -m bench.run $(BENCH_ARGS)

bench-million: bench-programs ## a million calls: does memory grow?
	@$(PYTHON) -m bench.million $(BENCH_ARGS)

bench-backlog: bench-programs ## a million events in the outbox: does delivery slow down?
	@$(PYTHON) -m bench.backlog $(BENCH_ARGS)

bench-profile: bench-programs ## where the time goes under 32 sessions, by py-spy and perf
	@$(PYTHON) -m bench.hotspots $(BENCH_ARGS)

clean: ## removes what was built; `make down` first if something runs
	@if [ -e .run ]; then echo "make clean: .run/ exists; make down first" >&2; exit 1; fi
	rm -rf $(BUILD) $(VENV) sidecar/lambda_udf sidecar/lambda_sidecar/sql sidecar/*.egg-info .pytest_cache .mypy_cache .ruff_cache

# ---- set-up ----

# What only the machine's package manager can provide; installed when root, else named. The library needs all of it,
# the environment Python alone.
$(BUILD)/.packages: packaging/debian/install-packages.sh
	@mkdir -p $(BUILD)
	@PYTHON3=$(PYTHON3) packaging/debian/install-packages.sh
	@touch $@

$(BUILD)/.test-packages: packaging/debian/install-packages.sh
	@mkdir -p $(BUILD)
	@packaging/debian/install-packages.sh tests
	@touch $@

$(BUILD)/.python-packages: packaging/debian/install-packages.sh
	@mkdir -p $(BUILD)
	@PYTHON3=$(PYTHON3) packaging/debian/install-packages.sh python
	@touch $@

$(PYTHON): | $(BUILD)/.python-packages
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON3=…")'
	@$(PYTHON3) -m venv --clear $(VENV)

# Each says what it does: the first time, over a minute passes here.
PIP_INSTALL = $(PYTHON) -m pip install -qq --disable-pip-version-check -c constraints.txt
$(VENV)/.build: pyproject.toml constraints.txt | $(PYTHON)
	@echo "Setting up $(VENV): the sidecar's packages and the contract's generator …" >&2
	@$(PIP_INSTALL) -e '.[build]'
	@touch $@

$(VENV)/.packages: $(VENV)/.build
	@echo "Setting up $(VENV): what makes packages …" >&2
	@$(PIP_INSTALL) -e '.[build,packages]'
	@touch $@

$(VENV)/.ready: $(VENV)/.build
	@echo "Setting up $(VENV): what tests and checks need …" >&2
	@$(PIP_INSTALL) -e '.[build,packages,local,tracing,dev]'
	@touch $(VENV)/.packages $@

$(VENV)/.bench: $(VENV)/.ready
	@$(PIP_INSTALL) -e '.[build,packages,local,tracing,dev,bench]'
	@touch $@

$(BUILD)/.bench-packages: packaging/debian/install-packages.sh
	@mkdir -p $(BUILD)
	@packaging/debian/install-packages.sh bench
	@touch $@

$(BUILD)/.fuzz-packages: packaging/debian/install-packages.sh
	@mkdir -p $(BUILD)
	@packaging/debian/install-packages.sh fuzz
	@touch $@

bench-programs: $(WHOLE) $(VENV)/.bench $(BUILD)/.bench-packages
	@$(MAKE) --no-print-directory -s -C bench/load BUILD=$(abspath $(BUILD))

sidecar/lambda_udf/v1/%_pb2.py: protos/lambda_udf/v1/%.proto $(VENV)/.build
	@$(PYTHON) -m grpc_tools.protoc -I protos --python_out=sidecar --pyi_out=sidecar --grpc_python_out=sidecar \
	  lambda_udf/v1/$*.proto
	@touch $@

# package-data cannot reach outside the package. A checkout runs udf/sql itself (install/sql_script.py).
sidecar/lambda_sidecar/sql/%.sql: udf/sql/%.sql
	@mkdir -p $(@D)
	@cp $< $@

$(LIBRARY): $(VENV)/.build FORCE | $(BUILD)/.packages
	@$(MAKE) --no-print-directory -s -C udf all BUILD=$(abspath $(BUILD)) PYTHON=$(abspath $(PYTHON))

$(SANITIZED): $(VENV)/.build FORCE | $(BUILD)/.packages
	@$(MAKE) --no-print-directory -s -C udf sanitized BUILD=$(abspath $(BUILD)) PYTHON=$(abspath $(PYTHON))

$(BUILD)/$(OTHER)/lambda_udf.so: $(VENV)/.build FORCE | $(BUILD)/.packages $(BUILD)/$(OTHER)/root
	@$(MAKE) --no-print-directory -s -C udf all $(CROSS)

$(BUILD)/$(OTHER)/root: packaging/debian/foreign-root.sh
	@packaging/debian/foreign-root.sh $(OTHER) $(abspath $@)
	@touch $@

# The C tests that need nothing but their program, for the other architecture: build/arm64/tests/*_test, for qemu.
foreign-tests: $(BUILD)/$(OTHER)/lambda_udf.so
	@$(MAKE) --no-print-directory -s -C tests/c pure LIBRARIES=all SANITIZERS='-O2 -g' $(CROSS)

FORCE:

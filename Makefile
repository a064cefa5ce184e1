# Everything a person or CI does with a checkout. A bare machine needs Python 3.10 or later and make.
#
#   make demo            the flight delay pipeline on a real Airflow; KEEP=1 leaves Airflow up,
#                        STORE=azurite keeps outputs and records in Azure Blob Storage (CREDENTIAL=sas_token: with a SAS)
#   make demo-stop       end an Airflow that KEEP=1 left up
#   make landing         the files that `mlpipe run example_dags/flight_delays/pipeline.yml` reads
#   make test            all checks, then all tests
#   make azurite         Azurite, the emulator of Azure Blob Storage, from npm; for tests and make demo STORE=azurite
#   make ray             Ray, from PyPI, in an environment of its own in the user's cache folder; for tests
#   make check           ruff, mypy, import-linter
#   make smoke           a short run on the oldest Airflow lines that are supported, 3.1 and 3.2
#   make bench           parsing and unchanged runs, on the laptop and in Airflow, with the load of the machine
#   make bench-overhead  what a first run costs over plain BashOperators
#   make bench-triggerer a thousand deferred jobs in one triggerer
#   make bench-reuse     those of reuse alone: digests, an unchanged run, transfers, lists (needs rclone)
#   make soak-syscalls   publish, restore and submit on this machine, killed at every system call (needs strace)
#   make soak-race       16 processes create one record, 200 times; STORE=azurite takes that store
#   make bench-generator the generator alone: against dag-factory, blueprint, kedro-airflow; 1,000 pipelines
#   make bytes           the same DAG file in 20 environments with each of Python 3.10 to 3.13, which must be here
#   make soak-flight     500 rounds of 20 processes on one key; STORE=azurite takes that store
#   make soak-kills      200 workers killed at random moments; TARGET=ssh, slurm, ray or local, KILLS=1000
#   make soak-network    100 replies of the SSH server lost after what they tell was done
#   make sshd            an SSH server for the tests, from Debian's packages; needs root
#   make slurm           a Slurm for the tests, likewise
#   make postgres        a PostgreSQL for the tests, likewise
#   make soak-ends       20 each: long steps marked failed, cleared, timed out in a real Airflow
#   make soak-triggerer  40 triggerers of a real Airflow killed at random moments; KILLS=200
#   make soak-gc         24,000 random steps of garbage collection against plain dictionaries; STORE=azurite: 600 there
#   make build           sdist and wheel in dist/
#   make clean           remove what these targets made, but for the virtual environment
#
# PYTHON=python3.12 makes the virtual environment with another interpreter.

PYTHON ?= python3
VENV ?= .venv
KEEP ?=
STORE ?= local
TARGET ?=
KILLS ?=
CREDENTIAL ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AZURITE := .azurite

# Without compiled files every Airflow process compiles 1,500 modules anew.
unexport PYTHONDONTWRITEBYTECODE
# An interpreter of ours must not see the packages of another one.
unexport PYTHONPATH PYTHONHOME

# uv brings its own list of authorities; the machine's list counts where there is one, it knows the proxy of the house.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= true
endif
# npm has a list of its own as well.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export NODE_EXTRA_CA_CERTS ?= /etc/ssl/certs/ca-certificates.crt
endif

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help venv demo demo-stop landing azurite postgres ray test check smoke bench soak-flight soak-triggerer soak-gc soak-kills soak-network sshd slurm build clean bench-overhead bench-triggerer soak-ends bench-reuse soak-race soak-syscalls bench-generator bytes

help:
	@sed -n 's/^#   //p' Makefile

venv: $(READY)
	@:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or later is needed; '$(PYTHON)' is not. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV); }

# Debian's python3 has no ensurepip unless python3-venv is installed; a pip of the system can then fill the environment.
$(BIN)/uv: | $(BIN)/python
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --constraint constraints.txt uv; \
	else \
	  rm -rf $(VENV); \
	  echo "'$(PYTHON)' has neither ensurepip nor pip. Install them (Debian, Ubuntu: apt install python3-venv) and try again." >&2; \
	  exit 1; \
	fi

$(READY): constraints.txt setup.cfg pyproject.toml | $(BIN)/uv
	@echo "Installing what is needed (about a minute the first time)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --build-constraints constraints.txt --editable '.[examples,test,dev]'
	@touch $@

demo: $(READY) $(if $(filter azurite,$(STORE)),$(AZURITE)/.ready)
	@$(BIN)/python example_dags/flight_delays/demo.py --store $(STORE) $(if $(CREDENTIAL),--credential $(CREDENTIAL)) $(if $(filter 1 yes true,$(KEEP)),--keep)

demo-stop: $(READY)
	@$(BIN)/python example_dags/flight_delays/demo.py --stop

landing: $(READY)
	@$(BIN)/python example_dags/flight_delays/landing.py

azurite: $(AZURITE)/.ready
	@:

# Without npm nothing is installed, and the tests that want Azurite say what is missing.
$(AZURITE)/.ready: tests/azurite/package.json tests/azurite/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	  echo "Installing Azurite"; \
	  mkdir -p $(AZURITE); \
	  cp tests/azurite/package.json tests/azurite/package-lock.json $(AZURITE)/; \
	  npm ci --prefix $(AZURITE) --ignore-scripts --no-audit --no-fund --loglevel=error; \
	  touch $@; \
	else \
	  echo "There is no npm, so Azurite is not installed (Debian, Ubuntu: apt install nodejs npm)." >&2; \
	fi

ray: $(READY)
	@$(BIN)/python -m airflow_mlpipe.testing.ray_server tests/ray/constraints.txt

sshd: /usr/sbin/sshd
	@:

# Without rights or apt nothing is installed, and the tests that want a server say what is missing. What Debian would
# start by itself stays down.
define debian
@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
  echo "Installing $(1)"; \
  policy=/usr/sbin/policy-rc.d; made=; \
  if [ ! -e $$policy ]; then printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; made=1; fi; \
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null \
    || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; } \
    || echo "They cannot be installed (Debian, Ubuntu: apt install $(1))." >&2; \
  if [ -n "$$made" ]; then rm -f $$policy; fi; \
else \
  echo "There is no $@ (Debian, Ubuntu: apt install $(1))." >&2; \
fi
endef

/usr/sbin/sshd:
	$(call debian,openssh-server)

slurm: /usr/sbin/slurmctld
	@:

/usr/sbin/slurmctld:
	$(call debian,slurmctld slurmd slurm-client munge)

postgres: /usr/lib/postgresql
	@:

/usr/lib/postgresql:
	$(call debian,postgresql)

test: check $(AZURITE)/.ready ray /usr/sbin/sshd /usr/sbin/slurmctld /usr/lib/postgresql
	@$(BIN)/python -m pytest

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

smoke: smoke-3.1 smoke-3.2

# Older lines need the libraries of their time: each has a constraints file of its own.
smoke-%: constraints-airflow-%.txt $(READY)
	@echo "Airflow $*: a generated DAG in a DagBag, steps in a worker, one real scheduler"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-airflow-$*
	@$(BIN)/uv pip install --quiet --python $(VENV)-airflow-$*/bin/python --compile-bytecode --requirement $<
	@$(BIN)/uv pip install --quiet --python $(VENV)-airflow-$*/bin/python --compile-bytecode --no-deps --editable .
	@rm -rf $(VENV)-airflow-$*/dags
	@$(VENV)-airflow-$*/bin/mlpipe generate example_dags/flight_delays/pipeline.yml -o $(VENV)-airflow-$*/dags
	@PATH=$(abspath $(VENV)-airflow-$*/bin):$$PATH $(VENV)-airflow-$*/bin/python -m pytest -q -W default -p no:cacheprovider tests/operators/test_operators_execute.py tests/airflow_real/test_airflow_runs.py::test_reuse_clear_and_modes

bench: $(READY)
	@$(BIN)/python benchmarks/run_all.py parse noop_laptop noop_scheduler

bench-overhead: $(READY)
	@$(BIN)/python benchmarks/run_all.py overhead

bench-triggerer: $(READY) /usr/lib/postgresql
	@$(BIN)/python benchmarks/run_all.py triggerer real_triggerer

bench-reuse: $(READY) $(AZURITE)/.ready
	@$(BIN)/python benchmarks/run_all.py reuse_hash noop_laptop reuse_transfer reuse_listing

soak-syscalls: $(READY)
	@$(BIN)/python benchmarks/soak_syscalls.py

soak-race: $(READY) $(if $(filter azurite,$(STORE)),$(AZURITE)/.ready)
	@$(BIN)/python benchmarks/soak_race.py --store $(or $(STORE),local)

bench-generator: $(READY)
	@$(BIN)/python benchmarks/run_all.py generator

bytes: $(READY)
	@MLPIPE_EVERY_PYTHON=1 $(BIN)/python -m pytest -q tests/generator/test_generator_environments.py

soak-flight: $(READY) $(if $(filter azurite,$(STORE)),$(AZURITE)/.ready)
	@$(BIN)/python -m benchmarks.soak_single_flight --store $(or $(STORE),local)

soak-kills: $(READY) $(if $(filter local ray,$(TARGET)),,$(if $(filter slurm,$(TARGET)),/usr/sbin/slurmctld,/usr/sbin/sshd))
	@$(BIN)/python -m benchmarks.soak_kills --target $(or $(TARGET),ssh) --kills $(or $(KILLS),200)

soak-network: $(READY) /usr/sbin/sshd
	@MLPIPE_SOAK_ROUNDS=100 $(BIN)/python -m pytest -q -o timeout=3600 tests/compute/test_compute_ssh.py -k lost_after

soak-ends: $(READY) /usr/lib/postgresql
	@$(BIN)/python -m benchmarks.soak_ends

soak-triggerer: $(READY) /usr/lib/postgresql
	@$(BIN)/python -m benchmarks.soak_triggerer --kills $(or $(KILLS),40)

soak-gc: $(READY) $(if $(filter azurite,$(STORE)),$(AZURITE)/.ready)
	@$(BIN)/python benchmarks/soak_gc.py --store $(if $(filter azurite,$(STORE)),azurite,here)

build: $(READY)
	@rm -rf build dist
	@$(BIN)/python -m build --no-isolation --outdir dist .

clean:
	@rm -rf build dist .demo .mlpipe *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# make run | test | faults | lab | bench | notebooks | colab-zip | colab-test | badges: each sets up .venv by itself.
# Needs Python 3.10 to 3.13 and pip.
PROFILE ?= quick
DATA ?=
STRICT ?=
GPU ?=
REPO ?=
NOTEBOOKS ?=

$(foreach name,profile data strict gpu repo notebooks,$(if $(filter command,$(origin $(name))),\
	$(error Names are in capitals here, as in: make run DATA=path/to/folder PROFILE=full. You gave $(name)=)))

# They reach the command by the environment, so that neither make nor the shell reads dollars and quotes in them.
override PROFILE := $(value PROFILE)
override DATA := $(value DATA)
export PROFILE DATA

CHECK_PYTHON := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$name -c '$(CHECK_PYTHON)' 2>/dev/null && echo $$name && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
TENSORFLOW := $(if $(GPU),tensorflow[and-cuda],tensorflow)
READY := $(VENV)/ready-$(if $(GPU),gpu,cpu)

.PHONY: setup run test faults lab bench notebooks colab-zip colab-test badges

setup: $(READY)

# A GPU environment serves every target, so one made with GPU=1 is not made again without it.
$(VENV)/ready-cpu $(VENV)/ready-gpu: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 found; install one or give its name: make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade "pip>=25.1"
	$(RUN) -m pip install --quiet -r requirements.txt "$(TENSORFLOW)" --group dev
	touch $@ $(if $(GPU),$(VENV)/ready-cpu)

run: setup
	$(RUN) -m tools.run_series --profile="$$PROFILE" --data="$$DATA" $(if $(STRICT),--strict)

# Two processes, each of which would multiply matrices on all processors, would wait for each other.
test: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2 --dist loadfile
	KERAS_BACKEND=jax $(RUN) -m pytest -m backend

# Twenty minutes at most; `make test` takes a sample.
faults: setup
	$(RUN) -m tools.faults

lab: setup
	$(VENV)/bin/jupyter lab notebooks

bench: setup
	$(RUN) -m benchmarks

notebooks: setup
	$(RUN) -m tools.build_notebooks

colab-zip: setup
	$(RUN) -m tools.colab_zip

# Notebooks by number, setup for colab_setup: make colab-test NOTEBOOKS="setup 04". It runs them on Colab's versions.
colab-test: setup
	$(RUN) -m tools.colab_twin $(NOTEBOOKS)

badges: setup
	$(RUN) -m tools.badges "$(REPO)"

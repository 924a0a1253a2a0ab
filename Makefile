# Robust deep learning, reproducibly. Plain `make` says what there is.
#
#   make figures                             train the quick profile, draw every figure, run the notebooks
#   make figures NOISE=symmetric:0.6         the same for another noise, in folders of its own
#   make figures METHODS="cce gce:q=0.5 dm:beta=8,lam=0.5" SEEDS="0 1"
#   make test                                style, types and all tests that run in one process
#   make test-slow                           tests that start processes, and every cell of the notebooks

PROFILE ?= quick
NOISE ?=
METHODS ?=
DATASET ?=
SEEDS ?=
EPOCHS ?=
JOBS ?=
ENGINE ?=
ADDRESS ?=
QUIET ?=
BUDGET ?=
RETRAIN ?=
DISGUISE ?=
PYTHON ?= python3

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env figures drawn papers results report test test-slow notebooks reference papers_reference quick_reference studies bench lab docs book lock lint clean distclean

# A misspelt variable would be ignored in silence: NOSIE=symmetric:0.6 must not train the wrong noise.
VARIABLES := PROFILE NOISE METHODS DATASET SEEDS EPOCHS JOBS ENGINE ADDRESS QUIET BUDGET RETRAIN DISGUISE PYTHON
COMMAND_LINE := $(foreach v,$(.VARIABLES),$(if $(filter command line,$(origin $(v))),$(v)))
UNKNOWN := $(filter-out $(VARIABLES) MAKEFLAGS MAKEOVERRIDES GNUMAKEFLAGS SHELL,$(COMMAND_LINE))
ifneq ($(strip $(UNKNOWN)),)
$(error unknown variable $(firstword $(UNKNOWN)): there is $(VARIABLES))
endif
# The papers' own setting needs a GPU: its committed rows are drawn, unless RETRAIN=1 trains them again.
PAPER := $(filter paper paper-short,$(PROFILE))
$(foreach v,RETRAIN DISGUISE,$(if $(filter-out 1,$($(v))),$(error $(v) is 1 or nothing, found $($(v)))))
ifneq (,$(and $(DISGUISE),$(if $(filter figures,$(MAKECMDGOALS)),$(PAPER),no)))
$(error DISGUISE=1 is for make figures, with a profile that trains here: notebook 08 then reads its own runs)
endif
ifneq (,$(and $(RETRAIN),$(if $(and $(PAPER),$(filter figures,$(MAKECMDGOALS))),,no)))
$(error RETRAIN=1 is for make figures with PROFILE=paper or PROFILE=paper-short: the others train whatever is missing)
endif
PAPER_CHANGES := $(strip $(foreach v,NOISE METHODS DATASET SEEDS EPOCHS ENGINE ADDRESS,$(if $($(v)),$(v))))
ifneq (,$(and $(PAPER),$(PAPER_CHANGES),$(RETRAIN)$(filter reference,$(MAKECMDGOALS))))
$(error this trains the whole profile $(PROFILE), without $(firstword $(PAPER_CHANGES)): robustdl sweep takes it)
endif

PY := .venv/bin/python
RUN := $(PY) -m robustdl_lib
RESULTS := $(or $(ROBUSTDL_RESULTS),results)
SETTING := --profile '$(PROFILE)' --noise '$(NOISE)' --methods '$(METHODS)' --dataset '$(DATASET)' --seeds '$(SEEDS)' \
  --epochs '$(EPOCHS)'
WHERE := $(if $(JOBS),--jobs '$(JOBS)') $(if $(ENGINE),--engine '$(ENGINE)') $(if $(ADDRESS),--address '$(ADDRESS)')
NOTEBOOKS := $(patsubst notebooks/%.py,%,$(sort $(wildcard notebooks/[0-9]*.py) $(wildcard notebooks/solutions/[0-9]*.py)))
RATES_SWEEPS := $(if $(filter small,$(PROFILE)),,noise_rates noise_rates_judged)

help: ## Say what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo "  Variables: PROFILE=quick|small|smoke|paper NOISE=symmetric:0.6 METHODS='cce gce:q=0.5' DATASET=digits"
	@echo "             SEEDS='0 1 2' EPOCHS=20 JOBS=2 QUIET=1 ENGINE=dask ADDRESS=tcp://127.0.0.1:8786 BUDGET=tiny"
	@echo "             RETRAIN=1 (with PROFILE=paper, on a GPU), DISGUISE=1 (train what notebook 08 reads, 12 networks more)"

env: .venv/.ready ## Build .venv from the lock (every other target does this first)

.venv/.ready: requirements.lock bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); say make PYTHON=..." >&2; exit 1; }
	@echo "building .venv from requirements.lock (a few minutes, about 6 GB with the CUDA build of torch)"
	@$(PYTHON) -m venv --clear .venv || \
	  { echo "error: $(PYTHON) cannot make a virtual environment; install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r bootstrap.lock
	@.venv/bin/uv pip sync -q --python $(PY) --compile-bytecode --require-hashes requirements.lock
	@.venv/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

figures: $(if $(PAPER),papers,drawn) ## Train what is missing, draw every figure, compare with the reference, run the notebooks

# One process does it all; figures are drawn before the notebooks run. make -n prints the command and runs nothing.
drawn: env
	@$(RUN) reproduce $(SETTING) $(WHERE) $(if $(DISGUISE),--disguise) $(if $(QUIET),--quiet)

# Draw the committed rows of a profile of the papers, all or of one noise; RETRAIN=1 first trains all of it.
papers: env
	@$(if $(METHODS)$(SEEDS)$(EPOCHS),$(RUN) figures $(SETTING) --shelf reference --into runs --partial \
	  ,$(RUN) papers --profile '$(PROFILE)' --dataset '$(DATASET)' --noise '$(NOISE)' $(if $(RETRAIN),--train) \
	  $(if $(JOBS),--jobs '$(JOBS)')) $(if $(QUIET),--quiet)
	@$(if $(PAPER_CHANGES),,$(RUN) report --profile '$(PROFILE)' | tail -n 6)

results: env ## Train the missing runs of the sweep and print its headline table
	@$(RUN) sweep figures $(SETTING) $(WHERE) $(if $(QUIET),--quiet)

report: env ## Compare published numbers and claims, the reference and this machine: a table, csv, a page
	@$(RUN) report --profile '$(PROFILE)'

test: env ## Check style, types, the library, the numbers of pages and notebooks: all that runs in one process
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/pytest -m "not slow" -n 2 --dist loadfile tests

test-slow: env ## Check the rest: processes, a cluster, a browser, the wheel, every cell of the notebooks
	@.venv/bin/pytest -m slow -n 2 --dist loadfile tests
	@TQDM_DISABLE=1 .venv/bin/pytest -n 2 --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=120 \
	  --nbval-sanitize-with tests/nbval.cfg -p no:cacheprovider notebooks

notebooks: env ## Rebuild the committed notebooks from their sources, executed with their defaults
	@$(RUN) build $(NOTEBOOKS:%=notebooks/%.py)

reference: $(if $(PAPER),papers_reference,quick_reference) ## Train the committed reference again, redraw its figures and rebuild the notebooks

# Rows that took a GPU hours are not removed: this trains the missing ones.
papers_reference: env
	@$(RUN) papers --profile '$(PROFILE)' --train --into reference $(if $(JOBS),--jobs '$(JOBS)')
	@$(RUN) report --profile '$(PROFILE)' --shelf reference > /dev/null

quick_reference: env
	@$(RUN) setting --profile '$(PROFILE)' > /dev/null
	@rm -rf '$(RESULTS)/reference/$(or $(PROFILE),quick)' '$(RESULTS)/reference/$(or $(PROFILE),quick)_'*
	@for sweep in figures disguise relatives worked talk_noise exercises $(RATES_SWEEPS); do \
	  $(RUN) sweep $$sweep --profile '$(PROFILE)' --into reference; \
	done
	@$(RUN) figures --profile '$(PROFILE)' --shelf reference
	@$(RUN) report --profile '$(PROFILE)' --shelf reference > /dev/null
	@$(MAKE) --no-print-directory docs notebooks

studies: env ## Compute the committed studies again; those of CIFAR need its files in the data root
	@for name in data_centric split_scores know_the_unknown missing_labels doubts longer_mae second_look digits_audited; do $(RUN) study $$name --into reference; done
	@if [ -d '$(or $(ROBUSTDL_DATA),data)/cifar-10-batches-py' ]; then \
	  for name in border border_pairs adverse_gallery transitions_cifar10n know_the_unknown_cifar10; do \
	    $(RUN) study $$name --into reference; \
	  done; \
	else echo 'note: CIFAR is not there, so its studies stay as they are: $(RUN) download cifar10 cifar100 cifar-n'; fi

bench: env ## Measure this machine beside a plain PyTorch loop: benchmarks/README.md (BUDGET=tiny tries it out)
	@$(PY) -m benchmarks $(if $(BUDGET),--budget '$(BUDGET)')

# A kernel python3 that was installed elsewhere would be another Python: the environment's own comes first.
lab: env ## Open the notebooks in JupyterLab
	@env -u JUPYTER_PATH JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyterlab --notebook-dir=.

docs: env ## Renew the generated pages: the README's table, docs/METHODS.md, docs/SETTINGS.md, docs/explorer.html
	@for page in README.md docs/METHODS.md docs/SETTINGS.md; do $(RUN) readme $$page; done
	@$(RUN) explorer

book: env ## Build the site from what is committed, without a network: build/book/index.html
	@$(PY) -m book $(if $(JOBS),--jobs '$(JOBS)')

lint: env ## Put the code into the house's form
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

lock: env ## Resolve pyproject.toml into requirements.lock anew
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --all-extras --upgrade pyproject.toml -o requirements.lock

clean: ## Remove what was made here: runs, executed notebooks, reports, figures (the committed reference stays)
	@rm -rf '$(RESULTS)/runs' '$(RESULTS)/notebooks' '$(RESULTS)/report' build dist
	@find '$(or $(ROBUSTDL_FIGURES),figures)' -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## Remove the environment too
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

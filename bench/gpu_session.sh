#!/bin/sh
# Everything to do first on a machine with a GPU, in one command, without a network.
#
#   [OUT=folder] [PYTHON=python3] bench/gpu_session.sh [PACKS [IMAGES]]
#
# PACKS   folder of carried wheels (*.whl), or of packs with their install.sh; left out: whatever is
#         installed is used
# IMAGES  folder of JPEG files; left out: photos are made
# OUT     where results go, default ./gpu-out: doctor.json, pytest.txt, gpu.json, gpu_kernels.json,
#         steps.txt (name, exit status and seconds of each step). Ends with 1 if a step failed.
set -u
PACKS=${1:-} IMAGES=${2:-} PYTHON=${PYTHON:-python3}
mkdir -p "${OUT:=gpu-out}"
OUT=$(cd "$OUT" && pwd)
if [ -n "$PACKS" ]; then PACKS=$(cd "$PACKS" && pwd) || exit 2; fi
if [ -n "$IMAGES" ]; then IMAGES=$(cd "$IMAGES" && pwd) || exit 2; fi
cd "$(dirname "$0")/.." || exit 2
SITE=$(mktemp -d) FAILED=0
trap 'rm -rf "$SITE"' EXIT
export PYTHONPATH="$PWD:$SITE${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
: >"$OUT/steps.txt"

step() {
  name=$1 begun=$(date +%s) status=0
  shift
  echo "== $name"
  "$@" || status=$?
  echo "$name $status $(($(date +%s) - begun))s" | tee -a "$OUT/steps.txt"
  [ "$status" = 0 ] || FAILED=1
}

install_packs() {
  if ls "$PACKS"/*.whl >/dev/null 2>&1; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$SITE" \
      "$PACKS"/*.whl || return 1
  fi
  if [ -f "$PACKS/install.sh" ]; then
    bash "$PACKS/install.sh" "$PACKS" "$SITE" || return 1
  fi
  # another nvidia/ folder further along the path has to stay importable
  if [ -d "$SITE/nvidia" ]; then
    echo '__path__ = __import__("pkgutil").extend_path(__path__, __name__)' \
      >"$SITE/nvidia/__init__.py"
  fi
}

doctor() {
  "$PYTHON" -m gpuio.tools.doctor --json >"$OUT/doctor.json"
  status=$?
  grep -E '"(name|what|mend|decoder)"' "$OUT/doctor.json"
  return $status
}

tests() {
  GPUIO_REQUIRE_GPU=1 "$PYTHON" -m pytest -m gpu -p no:cacheprovider \
    --continue-on-collection-errors >"$OUT/pytest.txt" 2>&1
  status=$?
  tail -15 "$OUT/pytest.txt"
  return $status
}

bench() {
  script=$1
  "$PYTHON" "bench/$script.py" ${IMAGES:+--images "$IMAGES"} ${BENCH_ARGS:-} \
    --out "$OUT/$script.json" >/dev/null
}

[ -z "$PACKS" ] || step install install_packs
step doctor doctor
step tests tests
step gpu_kernels bench gpu_kernels
step gpu bench gpu
exit $FAILED

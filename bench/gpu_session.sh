#!/bin/sh
# What to do first on a machine with a GPU: bench/gpu_session.sh first|second|short [PACKS [DATA]].
# gpu_session.py says what it does, GPU.md how to use it.
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu_session.py" "$@"

#!/bin/sh
# The benchmark on a machine with an NVIDIA GPU: everything runs in torch on CUDA.
# First `make run GPU=1` once, or install requirements-gpu.lock and requirements-dev.lock yourself.
# It writes its report beside the CPU's, and refuses to call a CPU run a GPU run.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
if ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
	echo "benchmarks/gpu.sh: torch finds no GPU here; for a CPU: make bench" >&2
	exit 2
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
exec "$PYTHON" -m benchmarks --device cuda --backends auto torch --document docs/benchmarks-gpu.md "$@"

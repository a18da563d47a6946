#!/bin/sh
# The tests of graphs and the benchmarks on a machine with an NVIDIA GPU: all runs in torch on CUDA.
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
"$PYTHON" -m pytest -q -rs tests/unit/test_torch_graphs.py
models=build/benchmarks/models
"$PYTHON" -m benchmarks.checkpoint "$models"
for backend in torch-bf16 torch-bf16-graphs; do
	"$PYTHON" -m benchmarks.saturation --device cuda --backend "$backend" --model "$models/random-mgeo"
done
exec "$PYTHON" -m benchmarks --device cuda --backends auto torch-bf16 --document docs/benchmarks-gpu.md "$@"

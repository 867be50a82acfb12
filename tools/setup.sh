#!/bin/sh
# Sets up $VENV with the project, its worker, the embedded broker and the test tools, at the versions of constraints.txt.
#
# PyTorch's plain wheel for Linux carries several gigabytes of CUDA. Where there is no NVIDIA GPU, set TORCH_INDEX_URL
# to the index of CPU builds, see https://pytorch.org/get-started/locally/ ("Compute Platform: CPU").
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "genconvnet needs Python 3.11 or newer; $PYTHON is $("$PYTHON" --version). Name another by PYTHON=..." >&2
    exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
pip="$VENV/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt"

if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
    echo "setup: an NVIDIA GPU is here: installing PyTorch with CUDA"
    $pip torch
elif [ -n "${TORCH_INDEX_URL:-}" ]; then
    echo "setup: no NVIDIA GPU: installing PyTorch from TORCH_INDEX_URL"
    $pip --index-url "$TORCH_INDEX_URL" torch
else
    echo "setup: no NVIDIA GPU: installing the PyTorch that pip offers. If that turns out to carry CUDA (gigabytes)," \
        "stop it and set TORCH_INDEX_URL to the CPU builds: https://pytorch.org/get-started/locally/"
    $pip torch
fi
$pip --editable '.[worker,embedded,test]'
"$VENV/bin/python" -c 'import torch; print("setup: PyTorch", torch.__version__, "on", "cuda" if torch.cuda.is_available() else "cpu")'

#!/bin/sh
# Install the build of PyTorch that fits this machine, at the version in constraints.txt: `sh tools/install_torch.sh PYTHON`.
# PYTHON is the interpreter of the environment to install into; uv must be on the PATH.
#
# With an NVIDIA GPU it is a CUDA build, otherwise the CPU build, because the one on PyPI brings gigabytes of CUDA on
# Linux. UV_TORCH_BACKEND (cpu, cu130, ...) or TORCH_INDEX_URL (the URL of an index) overrides this choice.
#
# uv takes these builds from PyTorch's own index only, never from PyPI. If that index does not answer, pip installs the
# build in its configured index. The packages that PyTorch needs are not installed here: the project's come with them.
set -eu
python=$1
pip_install() { "$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps "$@"; }
uv_install() { uv pip install --python "$python" --constraint constraints.txt --no-deps "$@"; }

if [ -n "${TORCH_INDEX_URL:-}" ]; then
    echo "setup: pip installs PyTorch from TORCH_INDEX_URL"
    pip_install --index-url "$TORCH_INDEX_URL" torch
    exit
fi

# uv's "auto" would also choose builds for AMD and Intel GPUs, which this project does not use.
if [ -n "${UV_TORCH_BACKEND:-}" ]; then
    reason="UV_TORCH_BACKEND is set"
elif nvidia-smi >/dev/null 2>&1; then
    reason="this machine has an NVIDIA GPU"
    UV_TORCH_BACKEND=auto
else
    reason="this machine has no NVIDIA GPU"
    UV_TORCH_BACKEND=cpu
fi
export UV_TORCH_BACKEND
echo "setup: PyTorch build: $UV_TORCH_BACKEND, because $reason"

# Resolve first, with one retry: this takes seconds if the index cannot be reached.
if plan=$(UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=1 uv_install --dry-run torch 2>&1); then
    echo "setup: uv installs it from PyTorch's index"
    uv_install --quiet torch
else
    why=$(echo "$plan" | sed -n 's/^[ ├╰─▶]*\(error\|cause\): //p' | sed -n '1p;$p' | uniq | paste -sd ';' - | sed 's/;/; /')
    echo "setup: PyTorch's index cannot be used (${why:-$plan})," \
        "so pip installs the build in its own index. If that is one with CUDA (gigabytes) and you want another, stop" \
        "this and set TORCH_INDEX_URL to the index to take it from."
    pip_install torch
fi

#!/bin/sh
# Set up $VENV with the project, its worker, the embedded broker and the test tools, at the versions in constraints.txt.
# uv installs them because it is several times faster than pip. If uv fails, pip does it.
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
python=$VENV/bin/python

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "genconvnet needs Python 3.11 or newer; $PYTHON is $("$PYTHON" --version). Name another with PYTHON=..." >&2
    exit 1
}
[ -x "$python" ] || "$PYTHON" -m venv "$VENV"

# Leave it to Python to compile modules when they are first imported, unless it is told not to keep the result.
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then export UV_COMPILE_BYTECODE=1; else export PIP_COMPILE=0; fi
pip_install() { "$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"; }
pip_setting() { "$python" -m pip config get "global.$1" 2>/dev/null || true; }

# uv does not read pip's configuration, so pass on the index and the certificates.
index=${PIP_INDEX_URL:-$(pip_setting index-url)}
certificates=${PIP_CERT:-$(pip_setting cert)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
[ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"
export UV_HTTP_CONNECT_TIMEOUT="${UV_HTTP_CONNECT_TIMEOUT:-5}"

pip_install uv
PATH="$VENV/bin:$PATH" sh tools/install_torch.sh "$python"
unset UV_TORCH_BACKEND  # so that uv keeps the build that is installed now
"$VENV/bin/uv" pip install --quiet --python "$python" --constraint constraints.txt --editable '.[worker,embedded,test]' || {
    echo "setup: uv failed: pip installs the packages"
    pip_install --editable '.[worker,embedded,test]'
}
"$python" -c 'import torch; print("setup: PyTorch", torch.__version__, "on", "cuda" if torch.cuda.is_available() else "cpu")'

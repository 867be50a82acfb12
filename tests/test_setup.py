"""tools/setup.sh and tools/install_torch.sh: which build of PyTorch they install, and from where.

uv is the real one. A local proxy plays PyTorch's index, and a small module plays pip and records how it is called.
"""

import datetime
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
import uv
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[1]
VERSION = re.search(r"(?m)^torch==(.+)$", (ROOT / "constraints.txt").read_text())[1]  # type: ignore[index]
PIP = """
import json, os, sys
if sys.argv[1] == "config":
    sys.exit(print(os.environ["PIP_CONFIGURED_INDEX"]) if sys.argv[-1] == "global.index-url" else 1)
print(json.dumps(sys.argv[1:]), file=open(os.environ["PIP_CALLS"], "a"))
"""
TORCH = """
__version__ = "0"
class cuda: is_available = staticmethod(bool)
"""


class Index(ThreadingHTTPServer):
    """PyTorch's index, reached as an HTTPS proxy; `asked` lists the URLs (host and path) that were asked for."""

    daemon_threads = False  # closing the server waits for its connections

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.status = 200
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Index
    protocol_version = "HTTP/1.1"
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.removesuffix(":443")
        self.server.asked.append(self.host)
        self.send_response(200)
        self.end_headers()
        super().finish()
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def do_GET(self) -> None:
        self.server.asked.append(self.host + self.path)
        backend = self.path.split("/")[2]
        name = f"torch-{VERSION}+{backend}-py3-none-any.whl"
        body = _wheel(f"{VERSION}+{backend}") if self.path.endswith(".whl") else f'<a href="{name}">{name}</a>'.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/zip" if self.path.endswith(".whl") else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


class Machine:
    """A virtual environment without packages, and the programs and settings that the scripts find."""

    def __init__(self, folder: Path, index: Index, certificate: Path) -> None:
        self.venv = folder / "venv"
        self.python = self.venv / "bin" / "python"
        self.calls = folder / "pip-calls"
        venv.create(self.venv, symlinks=True)
        (self.packages,) = self.venv.glob("lib/python*/site-packages")
        (self.packages / "pip.py").write_text(PIP)
        (self.venv / "bin" / "uv").symlink_to(uv.find_uv_bin())
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        self.environment = kept | {
            "PATH": f"{self.venv / 'bin'}:{os.environ['PATH']}",
            "PIP_CALLS": str(self.calls),
            "PIP_CONFIGURED_INDEX": "https://packages.invalid/simple",
            "HTTPS_PROXY": f"http://127.0.0.1:{index.server_port}",
            "SSL_CERT_FILE": str(certificate),
            "UV_CACHE_DIR": str(folder / "uv-cache"),
            "UV_NO_CONFIG": "1",
        }
        self.program("nvidia-smi", "exit 1")

    def program(self, name: str, body: str) -> None:
        path = self.venv / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            ["sh", ROOT / "tools" / script, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install_torch(self, **environment: str) -> str:
        return self.run("install_torch.sh", str(self.python), **environment)

    def installed_torch(self) -> list[str]:
        return [path.name.removesuffix(".dist-info") for path in self.packages.glob("torch-*.dist-info")]

    def pip_installs(self) -> list[list[str]]:
        """Return what pip was asked to install: the arguments without those that all calls share."""
        shared = ["install", "--quiet", "--disable-pip-version-check", "--constraint", "constraints.txt"]
        calls = [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []
        assert all(call[: len(shared)] == shared for call in calls)
        return [call[len(shared) :] for call in calls]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for the hosts of PyTorch."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.pytorch.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("certificate") / "test.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def index(certificate: Path) -> Iterator[Index]:
    with Index(certificate) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield server
        server.shutdown()


@pytest.fixture
def machine(tmp_path: Path, index: Index, certificate: Path) -> Machine:
    return Machine(tmp_path, index, certificate)


def test_without_an_nvidia_gpu_the_cpu_build_is_installed(machine: Machine, index: Index) -> None:
    assert "no NVIDIA GPU" in machine.install_torch()
    assert machine.installed_torch() == [f"torch-{VERSION}+cpu"]
    assert all(re.match(r"[\w.-]+\.pytorch\.org($|/whl/cpu/)", url) for url in index.asked)
    assert machine.pip_installs() == []


def test_with_an_nvidia_gpu_a_cuda_build_is_installed(machine: Machine) -> None:
    machine.program("nvidia-smi", "echo 580.95.05")
    assert "an NVIDIA GPU" in machine.install_torch()
    (torch,) = machine.installed_torch()
    assert re.fullmatch(rf"torch-{re.escape(VERSION)}\+cu\d+", torch)
    assert machine.pip_installs() == []


def test_uv_torch_backend_names_the_build(machine: Machine) -> None:
    machine.install_torch(UV_TORCH_BACKEND="cu130")
    assert machine.installed_torch() == [f"torch-{VERSION}+cu130"]


def test_a_build_that_is_installed_stays(machine: Machine, index: Index) -> None:
    machine.install_torch()
    index.asked.clear()
    machine.install_torch()
    assert machine.installed_torch() == [f"torch-{VERSION}+cpu"]
    assert index.asked == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_pip_installs_pytorch_if_its_index_refuses(machine: Machine, index: Index, status: int) -> None:
    """uv must not turn to the package index, which has the CUDA build."""
    index.status = status
    assert "pip installs the build in its own index" in machine.install_torch()
    assert machine.installed_torch() == []
    assert all(re.match(r"[\w.-]+\.pytorch\.org($|/whl/cpu/)", url) for url in index.asked)
    assert machine.pip_installs() == [["--no-deps", "torch"]]


def test_pip_installs_pytorch_if_its_index_cannot_be_reached(machine: Machine) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        said = machine.install_torch(HTTPS_PROXY=f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert len(said.splitlines()) == 2, "the build that was chosen, and why it comes from elsewhere"
    assert "Connection refused" in said
    assert "pip installs the build in its own index" in said
    assert machine.pip_installs() == [["--no-deps", "torch"]]


def test_torch_index_url_overrides_everything_else(machine: Machine, index: Index) -> None:
    machine.program("nvidia-smi", "echo 580.95.05")
    machine.install_torch(TORCH_INDEX_URL="https://torch.invalid/cpu", UV_TORCH_BACKEND="cu130")
    assert machine.pip_installs() == [["--no-deps", "--index-url", "https://torch.invalid/cpu", "torch"]]
    assert index.asked == []


@pytest.mark.parametrize("uv_works", [True, False])
def test_set_up_installs_the_project_by_uv_and_if_that_fails_by_pip(machine: Machine, uv_works: bool) -> None:
    (machine.packages / "torch.py").write_text(TORCH)
    machine.program("uv", f'echo "uv: ${{UV_TORCH_BACKEND-}} $UV_DEFAULT_INDEX $@"; {"true" if uv_works else "false"}')
    said = machine.run("setup.sh", PYTHON=sys.executable, VENV=str(machine.venv))
    wanted = ["--editable", ".[worker,embedded,test]"]
    by_uv = f"uv:  https://packages.invalid/simple pip install --quiet --python {machine.python} "
    assert by_uv + " ".join(["--constraint constraints.txt", *wanted]) in said
    assert machine.pip_installs() == ([["uv"]] if uv_works else [["uv"], ["--no-deps", "torch"], wanted])


def _wheel(version: str) -> bytes:
    info = f"torch-{version}.dist-info"
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return file.getvalue()

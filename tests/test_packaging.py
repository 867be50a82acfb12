"""What is handed out: the wheel, and the files that deploy it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "core", "worker")
SECRET = re.compile(r"pass|secret|token|key", re.IGNORECASE)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (built,) = folder.glob("genconvnet-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked into a folder of its own as pip does it; what it needs is that of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    _run(*pip, "--target", str(folder), str(wheel), cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    assert names == {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    for needed in ("api/web/*.html", "core/storage/migrations/env.py", "core/storage/migrations/versions/*.py"):
        assert any(Path(name).match(needed) for name in names), needed


def test_the_installed_api_brings_no_torch(installed: Path) -> None:
    code = "import sys, api.app; print(api.__file__, 'torch' in sys.modules, 'worker' in sys.modules)"
    said = _run(sys.executable, "-P", "-c", code, cwd=installed, PYTHONPATH=str(installed))
    assert said.split() == [str(installed / "api" / "__init__.py"), "False", "False"]


def test_the_installed_wheel_migrates_an_empty_database(installed: Path, tmp_path: Path) -> None:
    code = (
        "from core.runtime.settings import Settings; from core.storage import database; "
        "opened = database.Database(Settings().rows_url); opened.migrate(); opened.ping(); print(database.__file__)"
    )
    place = {"PYTHONPATH": str(installed), "GENCONVNET_DATA_DIR": str(tmp_path)}
    assert _run(sys.executable, "-P", "-c", code, cwd=tmp_path, **place).startswith(str(installed))


def test_the_command_is_there(installed: Path) -> None:
    said = _run(str(installed / "bin" / "genconvnet"), "--help", cwd=installed, PYTHONPATH=str(installed))
    assert all(command in said for command in ("serve", "api", "worker"))


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_compose_runs_all_parts_and_keeps_them_running(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"api", "worker-train", "worker-sample", "postgres", "redis"}
    for name, service in compose["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert "stop_grace_period" in service, name
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"], name


def test_no_part_has_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges"], name
        assert "privileged" not in service, name
    services = compose["services"]
    for name in ("api", "worker-train", "worker-sample"):
        assert services[name]["user"] == "10001:10001"
        assert "cap_add" not in services[name], name
    assert "--reuid=redis" in " ".join(services["redis"]["command"])  # postgres steps down by itself
    dockerfile = (ROOT / "Dockerfile").read_text()
    last_stages = [stage for stage in re.split(r"(?m)^FROM ", dockerfile) if re.match(r"runtime AS", stage)]
    assert len(last_stages) == 2
    assert all("\nUSER 10001:10001\n" in stage for stage in last_stages)


def test_only_the_api_is_published_and_on_this_machine_alone(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"api": ["${GENCONVNET_PUBLISH:-127.0.0.1:8000}:8000"]}


def test_the_api_is_told_where_it_is_published_so_that_it_knows_who_reaches_it(compose: dict[str, Any]) -> None:
    environment = compose["services"]["api"]["environment"]
    assert environment["GENCONVNET_PUBLISHED_ON"] == "${GENCONVNET_PUBLISH:-127.0.0.1:8000}"
    assert environment["GENCONVNET_HOST"] == "0.0.0.0"
    assert "GENCONVNET_WITHOUT_KEYS" not in environment


def test_compose_asks_for_every_secret_and_holds_none() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?[^}]+\}", text)) == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    for name in ("docker-compose.yml", "compose.gpu.yml", ".env.example"):
        plain = re.sub(r"\$\{[^}]+\}", "ASKED", (ROOT / name).read_text())
        assert set(re.findall(r"://\w*:([^@\s]*)@", plain)) <= {"ASKED"}, name
        given = re.findall(r"(?m)^[ #]*(\w+)(?:: |=)(.*)$", plain)
        assert {value for key, value in given if SECRET.search(key)} <= {"ASKED", ""}, name


def test_the_gpu_switch_changes_parts_that_there_are(compose: dict[str, Any]) -> None:
    with_gpu = yaml.safe_load((ROOT / "compose.gpu.yml").read_text())["services"]
    assert set(with_gpu) == {"worker-train", "worker-sample"}
    for name, service in with_gpu.items():
        assert service["image"] != compose["services"][name]["image"]
        assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def _run(*command: str, cwd: Path, **environment: str) -> str:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("GENCONVNET_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=cwd, env={**given, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

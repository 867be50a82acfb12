"""The wheel, and the files for Docker Compose."""

import configparser
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest
import yaml
from sqlalchemy import make_url

from api.auth.exposure import is_exposed, keys_required
from api.embedded.serve import WORKER_STOP_SECONDS
from api.server import GRACEFUL_SECONDS
from api.settings import ApiSettings
from core.runtime.settings import Settings
from core.runtime.startup import REFUSED
from core.runtime.variables import SETTINGS
from core.schemas.jobs import Queue
from core.version import VERSION
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "core", "worker")
SECOND_MACHINE = {
    "DATABASE_URL": "postgresql+psycopg://genconvnet@10.0.0.1:5432/genconvnet",
    "BROKER_URL": "redis://10.0.0.1:6379/0",
    "GENCONVNET_BLOB_URL": "s3://bucket/prefix",
}
SECRET = re.compile(r"pass|secret|token|key", re.IGNORECASE)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (built,) = folder.glob("genconvnet-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    _run(*pip, "--target", str(folder), str(wheel), cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    assert names == {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    for needed in ("api/web/studio/*.html", "core/storage/migrations/env.py", "core/storage/migrations/versions/*.py"):
        assert any(Path(name).match(needed) for name in names), needed


def test_the_installed_api_migrates_an_empty_database_and_imports_no_torch(installed: Path, tmp_path: Path) -> None:
    code = """if True:
        import sys
        import api.app
        from core.runtime.settings import Settings
        from core.storage.database import Database
        database = Database(Settings().rows_url)
        database.migrate()
        database.ping()
        print(api.__file__, "torch" in sys.modules, "worker" in sys.modules)
    """
    environment = {"PYTHONPATH": str(installed), "GENCONVNET_DATA_DIR": str(tmp_path)}
    printed = _run(sys.executable, "-P", "-c", code, cwd=tmp_path, **environment)
    assert printed.split() == [str(installed / "api" / "__init__.py"), "False", "False"]


def test_the_command_is_there(installed: Path) -> None:
    printed = _run(str(installed / "bin" / "genconvnet"), "--help", cwd=installed, PYTHONPATH=str(installed))
    assert all(command in printed for command in ("serve", "api", "worker"))


def compose(file: str = "docker-compose.yml", **variables: str) -> dict[str, Any]:
    """Return a compose file's services as Docker Compose sees them with these variables set."""
    given = {"POSTGRES_PASSWORD": "a", "REDIS_PASSWORD": "b", **variables}

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        assert name in given or default is not None, f"{name} has no value"
        return given.get(name) or default or ""

    text = re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", value, (ROOT / file).read_text())
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def settings_of(service: dict[str, Any], kind: type[Settings], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that a service reads from its environment, each of which must be known."""
    known = {f"GENCONVNET_{name.upper()}" for name in (*ApiSettings.model_fields, *WorkerSettings.model_fields)}
    assert set(service["environment"]) <= known
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    return kind()


def test_compose_has_a_worker_for_every_queue_and_checks_the_health_of_all() -> None:
    services = compose()
    workers = {name: service for name, service in services.items() if service.get("command", [""])[0] == "worker"}
    assert sorted(service["command"][-1] for service in workers.values()) == sorted(Queue)
    for name, service in workers.items():
        assert service["healthcheck"]["test"][-1] == service["command"][-1], name
        assert float(service["stop_grace_period"].removesuffix("s")) >= WORKER_STOP_SECONDS, name
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        for volume in service["volumes"]:
            assert volume.split(":")[0] in volumes, name


def test_the_services_of_compose_have_valid_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, service in compose().items():
        if name not in ("postgres", "redis"):
            kind = ApiSettings if name == "api" else WorkerSettings
            settings = settings_of(service, kind, monkeypatch)
            assert make_url(settings.database_url or "").host in compose()
            assert urlsplit(settings.broker_url).hostname in compose()


def test_every_setting_of_the_example_exists() -> None:
    """GENCONVNET_PUBLISH is a variable of docker-compose.yml itself."""
    known = {f"GENCONVNET_{name.upper()}" for name in (*ApiSettings.model_fields, *WorkerSettings.model_fields)}
    named = set(re.findall(r"(?m)^#?(GENCONVNET_\w+)=", (ROOT / ".env.example").read_text()))
    assert "GENCONVNET_PUBLISH" in named
    assert named - {"GENCONVNET_PUBLISH"} <= known


@pytest.mark.parametrize(("publish", "exposed"), [({}, False), ({"GENCONVNET_PUBLISH": "0.0.0.0:80"}, True)])
def test_only_the_api_is_published_and_knows_where(
    publish: dict[str, str], exposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on this machine alone by default; on any other address it requires keys."""
    services = compose(**publish)
    assert [name for name, service in services.items() if "ports" in service] == ["api"]
    settings = settings_of(services["api"], ApiSettings, monkeypatch)
    assert isinstance(settings, ApiSettings)
    assert services["api"]["ports"] == [f"{settings.published_on}:{settings.port}"]
    assert settings.host == "0.0.0.0"  # of the container, or no port could be published
    assert is_exposed(settings) == keys_required(settings) == exposed


def test_no_part_has_more_rights_than_it_needs() -> None:
    for name, service in compose().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges"], name
        assert "privileged" not in service, name
    services = compose()
    for name in ("api", "worker-train", "worker-sample"):
        assert services[name]["user"] == "10001:10001"
        assert "cap_add" not in services[name], name
    assert "--reuid=redis" in " ".join(services["redis"]["command"])  # postgres steps down by itself
    dockerfile = (ROOT / "Dockerfile").read_text()
    last_stages = [stage for stage in re.split(r"(?m)^FROM ", dockerfile) if re.match(r"runtime AS", stage)]
    assert len(last_stages) == 2
    assert all("\nUSER 10001:10001\n" in stage for stage in last_stages)


def test_compose_asks_for_every_secret_and_holds_none() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?[^}]+\}", text)) == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    for name in ("docker-compose.yml", "compose.gpu.yml", "compose.worker.yml", ".env.example"):
        plain = re.sub(r"\$\{[^}]+\}", "ASKED", (ROOT / name).read_text())
        assert set(re.findall(r"://\w*:([^@\s]*)@", plain)) <= {"ASKED"}, name
        given = re.findall(r"(?m)^[ #]*(\w+)(?:: |=)(.*)$", plain)
        assert {value for key, value in given if SECRET.search(key)} <= {"ASKED", ""}, name


def test_the_gpu_file_changes_workers_of_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    services = compose()
    changed = compose("compose.gpu.yml")
    assert set(changed) == {name for name, service in services.items() if service.get("command", [""])[0] == "worker"}
    for name, service in changed.items():
        assert service["image"] != services[name]["image"]
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        settings = settings_of(service, WorkerSettings, monkeypatch)
        assert isinstance(settings, WorkerSettings)
        assert settings.device == "cuda"


def test_processes_of_one_training_have_as_much_shared_memory_in_compose_as_on_kubernetes() -> None:
    patch = yaml.safe_load((ROOT / "deploy/kubernetes/components/gpu/worker-train-patch.yaml").read_text())
    (volume,) = patch["spec"]["template"]["spec"]["volumes"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert compose("compose.gpu.yml")["worker-train"]["shm_size"] == "1gb"


def test_every_service_has_limits_and_small_logs() -> None:
    for name, service in {**compose(), **compose("compose.worker.yml", **SECOND_MACHINE)}.items():
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_the_images_carry_the_release_in_tag_and_labels() -> None:
    services = {**compose(), **compose("compose.gpu.yml")}
    images = {service["image"] for name, service in services.items() if name not in ("postgres", "redis")}
    assert {image.partition(":")[2] for image in images} == {VERSION}
    assert compose(IMAGE_TAG="old")["api"]["image"] == "genconvnet-api:old"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"ARG VERSION=(.*)", dockerfile) == [VERSION, VERSION]
    for label in ("title", "version", "revision"):
        assert dockerfile.count(f"org.opencontainers.image.{label}=") == 2


def test_the_second_machine_runs_the_same_workers_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = compose(), compose("compose.worker.yml", **SECOND_MACHINE)
    assert set(second) == {name for name in first if name.startswith("worker")}
    for name, service in second.items():
        assert (service["image"], service["command"]) == (first[name]["image"], first[name]["command"])
        assert not {"ports", "depends_on"} & set(service)
        settings = settings_of(service, WorkerSettings, monkeypatch)
        given = (settings.database_url, settings.broker_url, settings.blob_url)
        assert given == tuple(SECOND_MACHINE.values())
    assert set(compose("compose.gpu.yml")) == set(second), "the two files can be combined"


def test_the_healthcheck_of_the_api_asks_no_proxy() -> None:
    """It uses `is_alive`, which tests/api/test_listening.py tests."""
    *_, script = compose()["api"]["healthcheck"]["test"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        script = script.replace("8000", str(closed.getsockname()[1]))
    assert "is_alive" in script
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-P", "-c", script], env=environment, check=False, timeout=60)
    assert done.returncode == 1


def test_the_systemd_unit_runs_serve_and_fits_its_exit_codes() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(ROOT / "docs" / "genconvnet.service")
    service = unit["Service"]
    assert service["ExecStart"].split()[1:] == ["serve"]
    assert service["RestartPreventExitStatus"] == str(REFUSED)
    assert float(service["TimeoutStopSec"]) > WORKER_STOP_SECONDS + GRACEFUL_SECONDS
    text = (ROOT / "docs" / "genconvnet.service").read_text()
    assert set(re.findall(r"GENCONVNET_(\w+)=", text)) <= SETTINGS


def _run(*command: str, cwd: Path, **environment: str) -> str:
    given = {name: value for name, value in os.environ.items() if not name.startswith(("GENCONVNET_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=cwd, env={**given, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

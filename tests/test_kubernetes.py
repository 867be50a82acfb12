"""The manifests in deploy/kubernetes, as kustomize builds them."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml
from sqlalchemy import make_url
from support.tools import require

from api.auth.exposure import keys_required
from api.cli import app
from api.embedded.serve import WORKER_STOP_SECONDS
from api.operations.health import router
from api.server import GRACEFUL_SECONDS
from api.settings import ApiSettings
from core.runtime.settings import Settings
from core.runtime.variables import SETTINGS
from core.schemas.jobs import Queue
from core.version import VERSION
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "deploy" / "kubernetes"
KEDA_SCHEMAS = json.loads((Path(__file__).parent / "support" / "vendor" / "keda.json").read_text())
RELEASES = ("1.30", "1.37")  # of Kubernetes: the oldest that docs/how-to/scale-out.md names, and the newest
OVERLAYS = ("small", "gpu", "keda", "both")
SERVERS = {
    "GENCONVNET_DATABASE_URL": "postgresql://genconvnet:a@postgres.databases.svc:5432/genconvnet",
    "GENCONVNET_BROKER_URL": "redis://:b@redis.databases.svc:6379/0",
    "GENCONVNET_BLOB_URL": "s3://bucket/prefix",
}
PASSWORDS = {"POSTGRES_PASSWORD": "a", "REDIS_PASSWORD": "b"}
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """The objects of each overlay; "both" is the one that docs/how-to/scale-out.md shows."""
    here = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    kubectl = here or require("kubectl", "https://kubernetes.io/docs/tasks/tools/")
    folder = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(MANIFESTS, folder, ignore=shutil.ignore_patterns("secret.env"))
    document = (ROOT / "docs" / "how-to" / "scale-out.md").read_text()
    (shown,) = re.findall(r"(?s)```yaml\n(apiVersion: kustomize.*?)```", document)
    (folder / "overlays" / "both").mkdir()
    (folder / "overlays" / "both" / "kustomization.yaml").write_text(shown)
    objects = {}
    for overlay in OVERLAYS:
        given = PASSWORDS if overlay == "small" else SERVERS
        lines = [f"{name}={value}\n" for name, value in given.items()]
        (folder / "base" / "secret.env").write_text("".join(lines))
        command = [kubectl, "kustomize", str(folder / "overlays" / overlay)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        objects[overlay] = list(yaml.load_all(done.stdout, yaml.CSafeLoader))
    return objects


def of_kind(objects: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the objects of a kind by their names."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(built: dict[str, list[Manifest]]) -> Iterator[tuple[str, str, Manifest]]:
    """Yield overlay, name and specification of each kind of pod."""
    for overlay, objects in built.items():
        for name, one in {**of_kind(objects, "Deployment"), **of_kind(objects, "StatefulSet")}.items():
            yield overlay, name, one["spec"]["template"]["spec"]


def own_pods(built: dict[str, list[Manifest]]) -> Iterator[tuple[str, str, Manifest, Manifest]]:
    """Yield overlay, name, specification and container of the API and of the workers."""
    for overlay, name, pod in pods(built):
        if name not in ("postgres", "redis"):
            (container,) = pod["containers"]
            yield overlay, name, pod, container


def check(one: Manifest, release: str) -> None:
    """Raise ValidationError if the object does not fit its schema, or has a field that the schema does not know."""
    if one["apiVersion"].startswith("keda.sh/"):
        jsonschema.validate(one, KEDA_SCHEMAS[one["kind"]])
    else:
        kubernetes_validate.validate(one, release, strict=True)


def test_every_object_fits_its_schema(built: dict[str, list[Manifest]]) -> None:
    different = {json.dumps(one, sort_keys=True): one for objects in built.values() for one in objects}
    for one in different.values():
        for release in RELEASES[: 1 if one["apiVersion"].startswith("keda.sh/") else None]:
            check(one, release)
    for kind, name in (("Deployment", "api"), ("ScaledObject", "worker-train")):
        misspelt = of_kind(built["keda"], kind)[name]
        with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
            check({**misspelt, "spec": {**misspelt["spec"], "maxReplicas": 1}}, RELEASES[-1])


def test_every_command_is_one_of_the_program_and_every_queue_has_its_worker(built: dict[str, list[Manifest]]) -> None:
    program = typer.main.get_command(app)
    queues: dict[str, list[Queue]] = {overlay: [] for overlay in OVERLAYS}
    for overlay, name, _, container in own_pods(built):
        assert "command" not in container, "the image's entry point is genconvnet"
        command, *arguments = container["args"]
        context = program.commands[command].make_context(command, list(arguments))  # type: ignore[attr-defined]
        assert name == command or name == f"worker-{context.params['queue'].value}"
        queues[overlay] += [context.params["queue"]] if command == "worker" else []
    assert all(sorted(found) == sorted(Queue) for found in queues.values())


def test_every_variable_is_a_setting_and_has_a_valid_value(
    built: dict[str, list[Manifest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for overlay, name, _, container in own_pods(built):
        values = _environment(built[overlay], container)
        ours = {variable for variable in values if variable.startswith("GENCONVNET_")}
        assert {variable.removeprefix("GENCONVNET_") for variable in ours} <= SETTINGS
        with monkeypatch.context() as context:
            for variable in ours:
                context.setenv(variable, values[variable])
            settings: Settings = ApiSettings(host="0.0.0.0") if name == "api" else WorkerSettings()
        assert make_url(settings.database_url or "").get_dialect().driver == "psycopg"
        if overlay == "small":
            services = of_kind(built[overlay], "Service")
            for url in (settings.database_url, settings.broker_url):
                parts = urlsplit(url or "")
                assert parts.port == services[parts.hostname or ""]["spec"]["ports"][0]["port"]
                assert parts.password in PASSWORDS.values()
        else:
            assert (settings.database_url, settings.broker_url, settings.blob_url) == tuple(SERVERS.values())
        if isinstance(settings, ApiSettings):
            assert keys_required(settings)
        elif isinstance(settings, WorkerSettings):
            assert settings.device == ("cuda" if overlay in ("gpu", "both") and name == "worker-train" else "auto")
            requested = container["resources"]["requests"]["cpu"]
            assert settings.threads == (None if overlay == "small" else int(requested))


def _environment(objects: list[Manifest], container: Manifest) -> dict[str, str]:
    """Return a container's variables as Kubernetes sets them: each may refer to those before it."""
    values: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            values |= of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    explicit: dict[str, str] = {}
    for one in container["env"]:
        if "value" in one:
            explicit[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: explicit[match[1]], one["value"])
        elif "secretKeyRef" in one["valueFrom"]:
            reference = one["valueFrom"]["secretKeyRef"]
            assert set(of_kind(objects, "Secret")[reference["name"]]["data"]) >= {reference["key"]}
            explicit[one["name"]] = {**SERVERS, **PASSWORDS}[reference["key"]]
        else:
            assert one["valueFrom"] == {"resourceFieldRef": {"resource": "requests.cpu"}}
            explicit[one["name"]] = container["resources"]["requests"]["cpu"]
    return values | explicit


def test_probes_ask_what_exists_and_end_no_job_when_the_broker_is_down(built: dict[str, list[Manifest]]) -> None:
    (port,) = re.findall(r"GENCONVNET_PORT=(\d+)", (ROOT / "Dockerfile").read_text())
    paths = {route.path for route in router.routes}  # type: ignore[attr-defined]
    for _, name, _, container in own_pods(built):
        probes = {key: value for key, value in container.items() if key.endswith("Probe")}
        if name == "api":
            assert set(probes) == {"startupProbe", "readinessProbe", "livenessProbe"}
            assert container["ports"] == [{"name": "http", "containerPort": int(port)}]
            assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
            # /readyz asks for workers, and without one no job would be accepted that could start one.
            assert {probe["httpGet"]["path"] for probe in probes.values()} == {"/healthz"} <= paths
        else:
            assert set(probes) == {"readinessProbe"}
            *python, module, queue = probes["readinessProbe"]["exec"]["command"]
            assert python == ["python", "-P", "-m"]
            assert importlib.util.find_spec(module) is not None
            assert queue == container["args"][-1]


def test_pods_have_few_rights_and_time_to_stop(built: dict[str, list[Manifest]]) -> None:
    for _, name, pod in pods(built):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        # Kubernetes would set GENCONVNET_PORT=tcp://… in a namespace that has a Service called genconvnet.
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])
        assert {mount["name"] for mount in container["volumeMounts"]} >= {"data", "tmp"}, name
    for _, name, pod, container in own_pods(built):
        needed = WORKER_STOP_SECONDS
        if name == "api":
            needed = GRACEFUL_SECONDS + container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= needed
        user, group = (pod["securityContext"][key] for key in ("runAsUser", "runAsGroup"))
        assert f"\nUSER {user}:{group}\n" in (ROOT / "Dockerfile").read_text()


def test_images_are_those_of_compose(built: dict[str, list[Manifest]]) -> None:
    """They carry the release and name no registry."""
    of_compose = set()
    for file in ("docker-compose.yml", "compose.gpu.yml"):
        of_compose |= set(re.findall(r"(?m)^ +image: (\S+)", (ROOT / file).read_text()))
    expected = {image.replace("${IMAGE_TAG:-0.1.0}", VERSION) for image in of_compose}
    found = {container["image"] for _, _, pod in pods(built) for container in pod["containers"]}
    assert found == expected
    (gpu,) = (
        container for overlay, name, _, container in own_pods(built) if (overlay, name) == ("gpu", "worker-train")
    )
    assert gpu["image"] == f"genconvnet-worker-gpu:{VERSION}"
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_whatever_names_an_object_names_one_that_is_there(built: dict[str, list[Manifest]]) -> None:
    for overlay, objects in built.items():
        labels = [pod["spec"]["template"]["metadata"]["labels"] for pod in objects if "template" in pod.get("spec", {})]
        for one in objects:
            assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "genconvnet"
            spec = one.get("spec", {})
            selector = spec.get("podSelector") or spec.get("selector") or {}
            for wanted in [selector.get("matchLabels", selector)] if selector else []:
                assert sum(wanted.items() <= given.items() for given in labels) == 1, one["metadata"]["name"]
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for _, _, pod in pods({overlay: objects})
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert claims == set(of_kind(objects, "PersistentVolumeClaim"))
        for scaled in of_kind(objects, "ScaledObject").values():
            target = of_kind(objects, "Deployment")[scaled["spec"]["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"], "each `apply` would undo what KEDA has set"
            (trigger,) = scaled["spec"]["triggers"]  # its query: tests/core/jobs/test_reconciler.py
            credentials = of_kind(objects, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
            (reference,) = credentials["spec"]["secretTargetRef"]
            assert reference["key"] in of_kind(objects, "Secret")[reference["name"]]["data"]


def test_the_manifests_hold_no_secret_and_the_example_names_all() -> None:
    example = (MANIFESTS / "base" / "secret.env.example").read_text()
    named = dict(re.findall(r"(?m)^#?([A-Z_]+)=(.*)$", example))
    assert set(named.values()) == {""}
    assert {*SERVERS, *PASSWORDS} <= set(named)
    assert {name.removeprefix("GENCONVNET_") for name in named if name.startswith("GENCONVNET_")} <= SETTINGS
    assert "/deploy/kubernetes/base/secret.env\n" in (ROOT / ".gitignore").read_text()
    for path in MANIFESTS.rglob("*.yaml"):
        assert not re.search(r"(?m)^kind: Secret$", path.read_text()), path

"""What must hold at the end of a chaos run. Each check yields a line for each violation."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from chaos.clients import History
from chaos.rig import Rig
from PIL import Image
from safetensors.numpy import load
from sqlalchemy import select

from core.jobs import requests
from core.schemas.jobs import JobKind
from core.storage.blobs import BlobMissing
from core.storage.tables import Artifact, DatasetImage, Job, Model

EXPECTED_ERRORS = ("worker-lost",)  # three kills in a row
VARYING = ("preview.png",)  # depends on when it was made


def violations(rig: Rig, history: History, controls: Mapping[str, str]) -> list[str]:
    """Return all violations; `controls` are the ids of the undisturbed jobs by their names."""
    with rig.database.read() as session:
        rows = list(session.scalars(select(Job).order_by(Job.seq)))
    whole = {row.id: row for row in rows if row.parent_seq is None}
    control_of = {entry["job"]: entry["control"] for entry in history.of("accepted")}
    return [
        *_accepted(history, whole, set(controls.values())),
        *_ended(history, whole),
        *_models(rig, whole),
        *_files(rig, rows),
        *_results(rig, {job_id: controls[name] for job_id, name in control_of.items()}, whole),
        *_answers(history),
    ]


def outcomes(rig: Rig, controls: Mapping[str, str]) -> Counter[str]:
    with rig.database.read() as session:
        rows = session.scalars(select(Job).where(Job.parent_seq.is_(None), Job.id.not_in(controls.values())))
        return Counter(f"{row.kind} {row.status}" + (f" {row.error['type']}" if row.error else "") for row in rows)


def unreferenced(rig: Rig) -> list[str]:
    """Return the files that no row names: those of attempts that were lost."""
    return sorted(_stored(rig) - _referenced(rig))


def _accepted(history: History, whole: Mapping[str, Job], controls: set[str]) -> Iterator[str]:
    by_key = defaultdict(set)
    for entry in history.of("accepted"):
        by_key[entry["key"]].add(entry["job"])
    for key, found in by_key.items():
        if len(found) != 1:
            yield f"the key {key} made several jobs: {sorted(found)}"
    accepted = set().union(*by_key.values()) | controls
    yield from (f"job {job_id} was accepted and does not exist" for job_id in sorted(accepted - whole.keys()))
    yield from (f"job {job_id} exists and was not accepted" for job_id in sorted(whole.keys() - accepted))


def _ended(history: History, whole: Mapping[str, Job]) -> Iterator[str]:
    asked = {entry["job"] for entry in history.of("cancel")}
    for job in whole.values():
        match job.status:
            case "succeeded":
                continue
            case "canceled":
                if job.id not in asked:
                    yield f"job {job.id} is canceled, and no client canceled it"
            case "failed":
                if (job.error or {}).get("type") not in EXPECTED_ERRORS:
                    yield f"job {job.id} failed: {job.error}"
            case _:
                yield f"job {job.id} is still {job.status}, attempt {job.attempt}, failures {job.failures}"


def _models(rig: Rig, whole: Mapping[str, Job]) -> Iterator[str]:
    with rig.database.read() as session:
        of_jobs = Counter(session.scalars(select(Model.job_id)))
    for job in whole.values():
        due = int(job.kind == JobKind.TRAIN and job.status == "succeeded")
        if of_jobs.get(job.id, 0) != due:
            yield f"job {job.id} ({job.kind}, {job.status}) has {of_jobs.get(job.id, 0)} models, not {due}"


def _files(rig: Rig, rows: list[Job]) -> Iterator[str]:
    """Each file that a row names exists, is as the row describes it, and can be opened."""
    with rig.database.read() as session:
        described = [*session.scalars(select(Artifact)), *session.scalars(select(Model))]
        described += session.scalars(select(DatasetImage))
    for row in described:
        if (fault := _fault(rig, row)) is not None:
            yield f"{row.blob}: {fault}"
    stored = _stored(rig)
    yield from (f"checkpoint {row.checkpoint} does not exist" for row in rows if row.checkpoint not in (None, *stored))
    attempts = {f"jobs/{row.id}" for row in rows}
    for path in unreferenced(rig):
        if path.startswith("jobs/") and "/".join(path.split("/")[:2]) not in attempts:
            yield f"{path} belongs to no job"
        if "#" in path or path.endswith((".tmp", ".part")):
            yield f"{path} is part of a file"


def _fault(rig: Rig, row: Artifact | Model | DatasetImage) -> str | None:
    try:
        content = rig.blobs.get(row.blob)
    except BlobMissing:
        return "does not exist"
    if (len(content), hashlib.sha256(content).hexdigest()) != (row.bytes, row.sha256):
        return f"is not as its row describes it: {len(content)} bytes, of {row.bytes}"
    if row.blob.endswith(".png"):
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    elif row.blob.endswith(".safetensors"):
        load(content)
    return None


def _results(rig: Rig, controls: Mapping[str, str], whole: Mapping[str, Job]) -> Iterator[str]:
    """Each job that succeeded has the files of the undisturbed job, byte for byte, and its series of metrics."""
    for job_id, control in controls.items():
        if job_id not in whole or whole[job_id].status != "succeeded":
            continue
        ours, theirs = _checksums(whole[job_id]), _checksums(whole[control])
        if differing := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
            yield f"job {job_id} differs from the undisturbed {control} in {differing}"
        if requests.metrics(rig.database, job_id) != requests.metrics(rig.database, control):
            yield f"job {job_id} has other metrics than the undisturbed {control}"


def _checksums(job: Job) -> dict[str, Any]:
    return {one.name: one.sha256 for one in job.artifacts if one.name not in VARYING}


def _answers(history: History) -> Iterator[str]:
    """While a part is away the API answers 503: no other 5xx, and no 4xx."""
    for entry in history.of("refused"):
        if entry["status"] != 503:
            yield f"{entry['path']} was answered with {entry['status']}: {entry['body']}"


def ready(rig: Rig) -> bool:
    return httpx.get(f"{rig.url}/readyz", timeout=30).status_code == 200


def _stored(rig: Rig) -> set[str]:
    folder = rig.data_dir / "blobs"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _referenced(rig: Rig) -> set[str]:
    with rig.database.read() as session:
        named = [*session.scalars(select(Artifact.blob)), *session.scalars(select(Model.blob))]
        named += session.scalars(select(DatasetImage.blob))
        return {*named, *session.scalars(select(Job.checkpoint).where(Job.checkpoint.is_not(None)))}

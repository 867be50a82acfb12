"""A process is killed, or told to stop, at the worst moment."""

import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from chaos.rig import SAMPLE_1, TRAIN, Rig
from support import rows
from support.models import model_file
from support.waiting import until

ITERATIONS = 60


def test_a_child_killed_between_its_files_and_its_row_leaves_one_result(start_rig: Callable[..., Rig]) -> None:
    # So that only the job's end is written: no progress, no previews.
    rig = start_rig(only=(SAMPLE_1,), GENCONVNET_PROGRESS_SECONDS="600", GENCONVNET_PREVIEW_SECONDS="600")
    client = rig.client
    params = {"count": 4, "width": 32, "height": 32, "steps": 300, "seed": 5}
    body = {"kind": "sample", "model_id": client.import_model(model_file()), "params": params}
    undisturbed = client.checksums(client.succeeded(client.post_job(body)))
    job_id = client.post_job(body)
    folder = rig.data_dir / "blobs" / "jobs" / job_id
    until(lambda: len(_pictures(folder)) > 0)
    lock = sqlite3.connect(rig.data_dir / "genconvnet.sqlite3", isolation_level=None, timeout=30)
    lock.execute("BEGIN IMMEDIATE")  # the row cannot be written until this ends
    until(lambda: len(_pictures(folder)) == 4)
    for pid in rig.children(SAMPLE_1):
        rig.kill(pid, signal.SIGKILL)
    assert rows.row(rig.database, job_id).status == "running"
    lock.close()
    job = client.succeeded(job_id)
    assert (job["attempt"], client.checksums(job)) == (2, undisturbed)


def test_a_worker_whose_child_is_killed_while_it_starts_does_the_next_job(rig: Rig) -> None:
    first = rig.pid(TRAIN)
    rig.processes[TRAIN].preloaded = False  # its child imports torch, and is killed meanwhile
    rig.send(TRAIN, signal.SIGKILL)
    until(lambda: rig.pid(TRAIN) not in (None, first) and rig.children(TRAIN) != [])
    rig.processes[TRAIN].preloaded = True
    second = rig.pid(TRAIN)
    for pid in rig.children(TRAIN):
        rig.kill(pid, signal.SIGKILL)
    until(lambda: rig.pid(TRAIN) != second)  # it ends rather than stay without a child
    rig.wait_until_ready()
    rig.client.succeeded(rig.client.train(iterations=5))


def test_a_worker_that_is_told_to_stop_loses_no_iteration(rig: Rig) -> None:
    client = rig.client
    job_id = client.train(iterations=ITERATIONS, checkpoint_seconds=600)  # its only checkpoint is that of the stop
    before = client.running(job_id)
    with rig.slow_training():
        pid = rig.pid(TRAIN)
        assert pid is not None
        process = psutil.Process(pid)
        rig.send(TRAIN, signal.SIGTERM)
    until(lambda: rig.pid(TRAIN) != pid)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    released = rows.row(rig.database, job_id)
    assert released.failures <= 1  # of the next attempt, if it has begun
    assert released.checkpoint is not None
    again = client.wait(job_id, lambda job: job["attempt"] == 2)
    assert again["progress"]["iteration"] >= before["progress"]["iteration"]
    assert client.succeeded(job_id)["attempt"] == 2
    assert [point["step"] for point in client.series(job_id)] == list(range(1, ITERATIONS + 1))


def test_writes_of_a_worker_that_lost_its_lease_are_refused(rig: Rig) -> None:
    """A worker stops for longer than its lease. Another does its job meanwhile, and its results alone count."""
    client = rig.client
    logged = rig.log.stat().st_size
    params = {"count": 2, "width": 64, "height": 64, "steps": 1500, "seed": 5}
    body = {"kind": "sample", "model_id": client.import_model(model_file()), "params": params}
    job_id = client.post_job(body)
    client.wait(job_id, lambda job: job["status"] == "running" and job["progress"]["fraction"] > 0)
    worker = _name_of(rig, rows.row(rig.database, job_id).worker)
    with _stopped_outside_a_transaction(rig, worker):
        job = client.succeeded(job_id)
    until(lambda: any(event in rig.log.read_bytes()[logged:] for event in (b"lease_lost", b"job_left")))
    assert job["attempt"] == 2
    assert client.job(job_id) == job
    assert client.checksums(client.succeeded(client.post_job(body))) == client.checksums(job)


def test_an_api_killed_during_an_upload_has_stored_nothing_and_accepts_it_again(rig: Rig) -> None:
    client = rig.client
    before = _stored(rig)
    picture = ("stripes.png", b"\x89PNG" + bytes(400_000), "image/png")
    request = client.http.build_request("POST", "/v1/datasets", files={"images": picture})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", request.url.port or 80)) as half:
        half.sendall(f"POST /v1/datasets HTTP/1.1\r\n{head}\r\n".encode() + request.read()[:200_000])
        time.sleep(0.3)
        pid = rig.pid("api")
        rig.send("api", signal.SIGKILL)
        until(lambda: rig.pid("api") not in (None, pid))
    rig.wait_until_ready()
    assert _stored(rig) == before
    client.upload()
    assert len(_stored(rig)[1]) == len(before[1]) + 1


def test_a_request_repeated_under_its_key_after_kills_of_the_api_makes_one_job(rig: Rig) -> None:
    """The API is killed once while the request is on its way, and once when it may have written the job."""
    http = rig.client.http
    body = {"kind": "train", "dataset_id": rig.client.upload(), "params": {"seed": 1}, "preset": "quick"}
    request = http.build_request("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    before = rows.count(rig.database)["jobs"]
    for pause_seconds in (0.0, 0.02):
        with socket.create_connection(("127.0.0.1", request.url.port or 80)) as connection:
            connection.sendall(f"POST /v1/jobs HTTP/1.1\r\n{head}\r\n".encode() + request.read())
            time.sleep(pause_seconds)
            pid = rig.pid("api")
            rig.send("api", signal.SIGKILL)
            until(lambda pid=pid: rig.pid("api") not in (None, pid))
        rig.wait_until_ready()
    answers = [http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert rows.count(rig.database)["jobs"] == before + 1
    rig.client.cancel(job_id)


@contextmanager
def _stopped_outside_a_transaction(rig: Rig, worker: str) -> Iterator[None]:
    """Stop a worker and its child. While they held SQLite's lock for writing, nobody could take over their job."""

    def stop() -> bool:
        rig.send_all(worker, signal.SIGSTOP)
        with closing(sqlite3.connect(rig.data_dir / "genconvnet.sqlite3", isolation_level=None, timeout=0.5)) as lock:
            try:
                lock.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                rig.send_all(worker, signal.SIGCONT)
                return False
        return True

    until(stop)
    try:
        yield
    finally:
        rig.send_all(worker, signal.SIGCONT)


def _stored(rig: Rig) -> tuple[dict[str, int], set[Path]]:
    """Return the number of rows of each table, and the files of datasets."""
    folder = rig.data_dir / "blobs" / "datasets"
    return rows.count(rig.database), {path for path in folder.rglob("*") if path.is_file()}


def _pictures(folder: Path) -> list[Path]:
    return list(folder.rglob("synthesized-*.png"))


def _name_of(rig: Rig, worker: str | None) -> str:
    """Return the name of the rig's process that calls itself `worker`."""
    assert worker is not None
    (found,) = [name for name in rig.processes if str(rig.pid(name)) in worker.split(":")]
    return found

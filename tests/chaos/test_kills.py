"""A process is killed, or told to go, at the moment when it hurts most."""

import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from chaos.requests import Asking
from chaos.rig import Rig
from support import rows
from support.waiting import until


def test_a_child_killed_between_its_files_and_its_row_leaves_one_result(start_rig: Callable[..., Rig]) -> None:
    rig = start_rig(GENCONVNET_PROGRESS_SECONDS="600")  # so that nothing is written between the first file and the end
    ask = Asking(rig)
    model_id = ask.succeeded(ask.train())["model_id"]
    params = {"count": 4, "width": 32, "height": 32, "steps": 300, "seed": 5}
    body = {"kind": "sample", "model_id": model_id, "params": params}
    undisturbed = ask.results(ask.succeeded(ask.accepted(body)))
    job_id = ask.accepted(body)
    folder = rig.data_dir / "blobs" / "jobs" / job_id
    until(lambda: len(_pictures(folder)) > 0)
    lock = sqlite3.connect(rig.data_dir / "genconvnet.sqlite3", isolation_level=None, timeout=30)
    lock.execute("BEGIN IMMEDIATE")  # the row cannot be written until this is let go
    until(lambda: len(_pictures(folder)) == 4)
    for name in ("worker-sample-1", "worker-sample-2"):
        for pid in rig.children(name):
            rig.kill(pid, signal.SIGKILL)
    assert ask.row(job_id).status == "running"
    lock.close()
    job = ask.succeeded(job_id)
    assert (job["attempt"], ask.results(job)) == (2, undisturbed)


def test_a_worker_whose_child_is_killed_while_it_starts_listens_again(rig: Rig) -> None:
    name = "worker-train"
    before = rig.pid(name)
    rig.send(name, signal.SIGKILL)
    until(lambda: rig.pid(name) not in (None, before) and rig.children(name) != [])
    stillborn = rig.pid(name)
    for pid in rig.children(name):
        rig.kill(pid, signal.SIGKILL)
    until(lambda: rig.pid(name) != stillborn)  # it does not stay, deaf
    rig.wait_until_ready()
    Asking(rig).succeeded(Asking(rig).train())


def test_a_deployment_costs_a_learning_job_nothing(rig: Rig) -> None:
    ask = Asking(rig)
    job_id = ask.train(iterations=1500, checkpoint_seconds=600)  # the only checkpoint is the one on the way out
    before = ask.learning(job_id, 50)
    pid = rig.pid("worker-train")
    assert pid is not None
    process = psutil.Process(pid)
    rig.send("worker-train", signal.SIGTERM)
    until(lambda: rig.pid("worker-train") != pid)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    handed_back = ask.row(job_id)
    assert handed_back.failures <= 1  # of whoever has it now, if anyone has
    assert handed_back.checkpoint is not None
    again = ask.wait(job_id, lambda job: job["attempt"] == 2)
    assert again["progress"]["iteration"] >= before["progress"]["iteration"]
    job = ask.succeeded(job_id)
    assert job["attempt"] == 2
    series = ask.client.get(f"/v1/jobs/{job_id}/metrics").json()["data"]
    assert [point["step"] for point in series] == list(range(1, 1501))


def test_a_zombies_writes_are_refused(rig: Rig) -> None:
    """It stands still for longer than its lease; meanwhile another takes its job, whose results alone count."""
    ask = Asking(rig)
    model_id = ask.succeeded(ask.train())["model_id"]
    params = {"count": 2, "width": 64, "height": 64, "steps": 1500, "seed": 5}
    body = {"kind": "sample", "model_id": model_id, "params": params}
    job_id = ask.accepted(body)
    ask.wait(job_id, lambda job: job["status"] == "running" and job["progress"]["fraction"] > 0)
    worker = _of_pid(rig, ask.row(job_id).worker)
    rig.send_all(worker, signal.SIGSTOP)
    job = ask.succeeded(job_id)
    rig.send_all(worker, signal.SIGCONT)
    until(lambda: "lease_lost" in rig.log.read_text() or "job_left" in rig.log.read_text())
    assert job["attempt"] == 2
    assert ask.job(job_id) == job
    assert ask.results(ask.succeeded(ask.accepted(body))) == ask.results(job)


def test_an_api_killed_in_mid_upload_has_stored_nothing_and_takes_the_upload_again(rig: Rig) -> None:
    ask = Asking(rig)
    before = _stored(rig)
    stripes = ("stripes.png", b"\x89PNG" + bytes(400_000), "image/png")
    request = ask.client.build_request("POST", "/v1/datasets", files={"images": stripes})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", request.url.port or 80)) as half:
        half.sendall(f"POST /v1/datasets HTTP/1.1\r\n{head}\r\n".encode() + request.read()[:200_000])
        time.sleep(0.3)
        pid = rig.pid("api")
        rig.send("api", signal.SIGKILL)
        until(lambda: rig.pid("api") not in (None, pid))
    rig.wait_until_ready()
    assert _stored(rig) == before
    ask.upload()
    assert len(_stored(rig)[1]) == len(before[1]) + 1


def test_a_client_that_asks_again_under_its_key_after_a_kill_in_mid_request_has_one_job(rig: Rig) -> None:
    """The API is killed while the request waits for the database, and again when it may have written."""
    ask = Asking(rig)
    body = {"kind": "train", "dataset_id": ask.upload(), "params": {"seed": 1}, "preset": "quick"}
    content = ask.client.build_request("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "once"})
    head = "".join(f"{name}: {value}\r\n" for name, value in content.headers.items())
    before = rows.count(rig.database)["jobs"]
    for pause in (0.0, 0.01, 0.05):
        with socket.create_connection(("127.0.0.1", content.url.port or 80)) as cut_off:
            cut_off.sendall(f"POST /v1/jobs HTTP/1.1\r\n{head}\r\n".encode() + content.read())
            time.sleep(pause)
            pid = rig.pid("api")
            rig.send("api", signal.SIGKILL)
            until(lambda pid=pid: rig.pid("api") not in (None, pid))
        rig.wait_until_ready()
    found = {ask.client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}).json()["id"] for _ in range(2)}
    assert len(found) == 1
    assert rows.count(rig.database)["jobs"] == before + 1


def _stored(rig: Rig) -> tuple[dict[str, int], set[Path]]:
    """How many rows there are, and which pictures of datasets."""
    folder = rig.data_dir / "blobs" / "datasets"
    return rows.count(rig.database), {path for path in folder.rglob("*") if path.is_file()}


def _pictures(folder: Path) -> list[Path]:
    return list(folder.rglob("synthesized-*.png"))


def _of_pid(rig: Rig, worker: str | None) -> str:
    assert worker is not None
    (found,) = [name for name in rig.parts if str(rig.pid(name)) in worker.split(":")]
    return found

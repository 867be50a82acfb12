"""Uploads that would harm the service: too large, too slow, endless, or fatal to the decoder."""

import asyncio
import contextlib
import functools
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from support import pictures
from support.http import Api, problem
from support.service import slowed
from support.valkey import Valkey
from support.waiting import PATIENCE_SECONDS, until

from api.errors import Problem
from api.uploads import limiter

SHORT_TIMEOUTS = {
    "GENCONVNET_UPLOAD_IDLE_SECONDS": "1",
    "GENCONVNET_UPLOAD_GRACE_SECONDS": "1",
    "GENCONVNET_MIN_UPLOAD_BYTES_PER_SECOND": "1000",
    "GENCONVNET_HEADERS_SECONDS": "1",
}
DEFAULT_LIMITS = {
    "GENCONVNET_MAX_BODY_BYTES": "268435456",
    "GENCONVNET_MAX_FILE_BYTES": "33554432",
    "GENCONVNET_MAX_PICTURES": "2000",
    "GENCONVNET_MAX_PICTURE_SIDE": "16384",
    "GENCONVNET_MAX_PICTURE_PIXELS": "36000000",
}
HEAD = b"POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
OPENING = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    """An API with timeouts of one second."""
    with Api(tmp_path_factory.mktemp("impatient"), _valkey.url, **SHORT_TIMEOUTS) as api:
        yield api


@pytest.fixture(scope="module")
def default_limits(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("default-limits")
    (folder / "spool").mkdir()
    with Api(folder, _valkey.url, TMPDIR=str(folder / "spool"), **DEFAULT_LIMITS) as api:
        yield api


@pytest.fixture(scope="module")
def one_decoder(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    environment = {**DEFAULT_LIMITS, "GENCONVNET_DECODERS": "1", "GENCONVNET_UPLOADS_AT_ONCE": "4"}
    with Api(tmp_path_factory.mktemp("one-decoder"), _valkey.url, **environment) as api:
        yield api


@pytest.fixture(scope="module")
def restricted_decoder(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    """An API whose only decoder has 5 s for each picture and 256 MiB of memory."""
    environment = {
        **DEFAULT_LIMITS,
        "GENCONVNET_DECODERS": "1",
        "GENCONVNET_DECODE_SECONDS": "5",
        "GENCONVNET_DECODER_MEMORY_BYTES": str(256 * MEBIBYTE),
    }
    with Api(tmp_path_factory.mktemp("restricted-decoder"), _valkey.url, **environment) as api:
        yield api


def _decoders(api: Api) -> list[psutil.Process]:
    children = psutil.Process(api.process.pid).children()
    return [child for child in children if "api.datasets.decoder_process" in child.cmdline()]


@contextlib.contextmanager
def _growth_of_peak_memory(api: Api) -> Iterator[list[int]]:
    """Yield a list to which, after the block, the growth of the API's peak memory in it is appended, in bytes."""
    process = Path(f"/proc/{api.process.pid}")
    (process / "clear_refs").write_text("5")  # resets the peak to the present use
    before, growth = _peak_bytes(api), list[int]()
    yield growth
    growth.append(_peak_bytes(api) - before)


def _peak_bytes(api: Api) -> int:
    status = Path(f"/proc/{api.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def _receive_all(connection: socket.socket) -> bytes:
    """Return all that arrives until the other side closes."""
    connection.settimeout(20)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@functools.cache
def _largest() -> bytes:
    """Return a picture of the most pixels, in the mode that takes most memory."""
    return pictures.encoded(Image.new("RGBA", (6000, 6000), (1, 2, 3, 4)), "PNG")


def test_a_decoder_that_dies_fails_its_file_and_is_replaced(api: Api) -> None:
    assert api.upload(("warm.png", pictures.png())).status_code == 201
    for decoder in _decoders(api):
        decoder.suspend()  # so that it has the upload when it is killed
    before, answers = api.stored(), []
    upload = threading.Thread(target=lambda: answers.append(api.upload(("fatal.png", pictures.png()))))
    upload.start()
    time.sleep(0.3)
    assert api.client.get("/healthz").status_code == 200  # other requests are served meanwhile
    for decoder in _decoders(api):
        decoder.kill()
    upload.join()
    (error,) = problem(answers[0], 422)["errors"]
    assert (error["field"], error["file"]) == ("images[0]", "fatal.png")
    assert "died" in error["message"]
    assert api.stored() == before
    assert api.upload(("next.png", pictures.png())).status_code == 201


def test_the_entry_of_an_archive_of_which_a_decoder_dies_is_named(one_decoder: Api) -> None:
    assert one_decoder.upload(("warm.png", pictures.png())).status_code == 201
    (decoder,) = _decoders(one_decoder)
    content = pictures.zipped({"a.png": pictures.png(), "b.png": _largest(), "c.png": pictures.png()})
    answers, used = [], decoder.cpu_times().user
    upload = threading.Thread(target=lambda: answers.append(one_decoder.upload_zip(content)))
    upload.start()
    until(lambda: decoder.cpu_times().user > used + 0.2)  # far more than the first entry takes
    decoder.kill()
    upload.join()
    (error,) = problem(answers[0], 422)["errors"]
    assert (error["field"], error["file"]) == ("archive[1]", "b.png")
    assert "died" in error["message"]


def test_a_decoder_that_dies_while_idle_is_replaced(api: Api) -> None:
    assert api.upload(("a.png", pictures.png())).status_code == 201
    for decoder in _decoders(api):
        decoder.kill()
        until(lambda decoder=decoder: decoder.status() == psutil.STATUS_ZOMBIE)
    assert api.upload(("b.png", pictures.png())).status_code == 201


def test_a_decoder_that_hangs_is_killed_and_replaced(restricted_decoder: Api) -> None:
    assert restricted_decoder.upload(("warm.png", pictures.png())).status_code == 201
    (decoder,) = _decoders(restricted_decoder)
    decoder.suspend()
    (error,) = problem(restricted_decoder.upload(("hangs.png", pictures.png())), 422)["errors"]
    assert error["file"] == "hangs.png"
    assert "longer than 5 s" in error["message"]
    assert not decoder.is_running()
    assert restricted_decoder.upload(("next.png", pictures.png())).status_code == 201


def test_a_decoder_that_runs_out_of_memory_fails_its_file(restricted_decoder: Api) -> None:
    (error,) = problem(restricted_decoder.upload(("large.png", _largest())), 422)["errors"]
    assert error["file"] == "large.png"
    assert "memory" in error["message"]
    assert restricted_decoder.upload(("small.png", pictures.png())).status_code == 201


def test_the_largest_uploads_leave_the_api_below_1_gib(default_limits: Api) -> None:
    """The most pixels, in the mode that takes most memory, and then the largest body."""
    deepest = pictures.encoded(Image.fromarray(np.full((6000, 6000), 70, np.uint16)), "PNG", compress_level=1)
    assert default_limits.upload(("a.png", _largest()), ("b.png", deepest)).status_code == 201
    junk = bytes(29_000_000)
    problem(default_limits.upload(*((f"{index}.png", junk) for index in range(9))), 415)
    assert 0 < _peak_bytes(default_limits) < 1024 * MEBIBYTE


def test_small_files_of_an_upload_are_not_kept_in_memory(default_limits: Api) -> None:
    assert default_limits.upload(("a.png", pictures.png())).status_code == 201
    files = [(f"{index}.png", bytes(128_000)) for index in range(1200)]
    with _growth_of_peak_memory(default_limits) as growth:
        problem(default_limits.upload(*files), 415)
    assert growth[0] < 100 * MEBIBYTE


def test_a_form_of_fields_without_files_is_refused(default_limits: Api) -> None:
    """Fields, unlike files, would be held in memory."""
    with _growth_of_peak_memory(default_limits) as growth:
        problem(default_limits.client.post("/v1/datasets", files=[("images", (None, b"x" * 60_000))] * 2000), 400)
        problem(default_limits.client.post("/v1/datasets", files=[("name", (None, b"x" * 1_000_000))]), 400)
    assert growth[0] < 100 * MEBIBYTE


def test_a_form_may_hold_max_pictures_files_and_no_more(default_limits: Api) -> None:
    files = [(f"{index}.png", b"") for index in range(1100)]  # Starlette's default limit is 1000
    assert len(problem(default_limits.upload(*files), 415)["errors"]) == 1100  # each was checked
    refusal = problem(default_limits.upload(*((f"{index}.png", b"") for index in range(2001))), 413)
    assert "2000" in refusal["detail"]


def test_an_endless_body_is_refused_and_its_spool_file_never_exceeds_the_limit(api: Api) -> None:
    limit, piece = 3_000_000, b"%x\r\n%s\r\n" % (50_000, b"\0" * 50_000)
    spooled, stopped = [0], threading.Event()

    def watch() -> None:
        while not stopped.wait(0.002):
            spooled.append(_spooled_bytes(api.process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        opening = b"%x\r\n%s\r\n" % (len(OPENING), OPENING)
        sent = 0
        with contextlib.suppress(OSError):
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + opening)
            while sent < 40 * limit:
                connection.sendall(piece)
                sent += len(piece)
                spooled.append(_spooled_bytes(api.process.pid))  # in case the other thread does not run
        answer = _receive_all(connection)
    stopped.set()
    watcher.join()
    assert sent < 40 * limit, "the API received the whole body"
    assert b" 413 " in answer or answer == b""  # the reset may overtake the answer
    assert 1_000_000 < max(spooled) <= limit
    assert _spooled_bytes(api.process.pid) == 0


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/datasets", {}, 413),
        ("/v1/jobs", {}, 413),
        ("/v1/datasets", {"Authorization": "Bearer gcn_wrong"}, 401),
        ("/v1/jobs", {"Origin": "https://elsewhere.example"}, 403),
        ("/v1/datasets", {"Transfer-Encoding": "chunked", "Content-Length": "40000000"}, 400),
    ],
)
def test_a_client_that_sends_everything_before_it_reads_sees_why_it_is_refused(
    api: Api, path: str, headers: dict[str, str], status: int
) -> None:
    """As urllib does: were the connection closed at once, it would report a reset."""
    chunk = f"{40_000_000:x}\r\n".encode() if "Transfer-Encoding" in headers else b""
    headers = {"Content-Type": "application/octet-stream", **headers}
    url = f"http://127.0.0.1:{api.port}{path}"
    request = urllib.request.Request(url, chunk + bytes(40_000_000), headers, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(request, timeout=PATIENCE_SECONDS)
    assert refused.value.code == status
    assert json.load(refused.value)["title"]
    refused.value.close()


def test_draining_ends_if_the_client_sends_nothing_more(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n" + OPENING)
        assert b" 413 " in _receive_all(connection)
        port, process = connection.getsockname()[1], psutil.Process(api.process.pid)

        def connected() -> bool:
            time.sleep(0.1)  # to look takes long
            return any(one.raddr[1:] == (port,) for one in process.net_connections("tcp4") if one.raddr)

        until(lambda: not connected())


def _spooled_bytes(pid: int) -> int:
    """Return the size of the process's open files that have no name any more."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "(deleted)" in str(entry.readlink()):
                total += entry.stat().st_size
    return total


def test_a_body_that_stops_arriving_gets_408(impatient: Api) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        answer = _receive_all(connection)
    assert b" 408 " in answer
    assert b"application/problem+json" in answer


def test_a_body_that_arrives_too_slowly_gets_408(impatient: Api) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        connection.settimeout(0.2)
        started_at, answer = time.monotonic(), b""
        while not answer and time.monotonic() - started_at < 20:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
    assert b" 408 " in answer


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal"])
def test_a_connection_with_incomplete_headers_is_closed(impatient: Api, sent: bytes) -> None:
    """Whether they are those of the first request or of a later one."""
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(sent)
        answer = _receive_all(connection)
    assert (b" 200 " in answer) == (b"\r\n\r\n" in sent)


def test_a_pause_between_two_requests_is_allowed(impatient: Api) -> None:
    assert impatient.upload(("a.png", pictures.png())).status_code == 201
    time.sleep(1.5)
    assert impatient.upload(("a.png", pictures.png())).status_code == 201


@functools.cache
def _slow_to_decode(count: int) -> list[tuple[str, bytes]]:
    """Return pictures of a few bytes that keep a decoder busy, about 0.3 s each."""
    content = pictures.encoded(Image.new("RGB", (3000, 3000)), "WEBP", lossless=True)
    return [(f"{index:02d}.webp", content) for index in range(count)]


@pytest.mark.parametrize("archived", [True, False])
def test_a_long_upload_does_not_delay_others(one_decoder: Api, archived: bool) -> None:
    content = pictures.encoded(Image.new("RGB", (1600, 1600)), "WEBP", lossless=True)  # many turns of a slowed decoder
    files = [(f"{index:02d}.webp", content) for index in range(20)]
    parts: list[tuple[str, Any]] = [("images", file) for file in files]
    if archived:
        parts = [("archive", ("pictures.zip", pictures.zipped(dict(files), zipfile.ZIP_STORED)))]
    assert one_decoder.upload(("warm.png", pictures.png())).status_code == 201
    before, answers = one_decoder.stored(), list[httpx.Response]()
    (decoder,) = _decoders(one_decoder)

    def upload_all() -> None:
        answers.append(one_decoder.client.post("/v1/datasets", files=parts, timeout=300))

    uploading = threading.Thread(target=upload_all)
    with slowed(decoder):
        uploading.start()
        until(lambda: one_decoder.stored() != before)
        for name in ("a.png", "b.png"):
            assert one_decoder.upload((name, pictures.png())).status_code == 201
        assert answers == []
    uploading.join()
    assert answers[0].status_code == 201
    assert [image["filename"] for image in answers[0].json()["images"]] == [name for name, _ in files]


def test_decoding_stops_if_the_client_disconnects(one_decoder: Api) -> None:
    parts, before = [("images", file) for file in _slow_to_decode(12)], one_decoder.stored()
    headers = {"X-Request-ID": "disconnects"}
    with pytest.raises(httpx.ReadTimeout):
        one_decoder.client.post("/v1/datasets", files=parts, headers=headers, timeout=httpx.Timeout(60, read=1))
    lines = until(lambda: [line for line in one_decoder.log.read_text().splitlines() if '"disconnects"' in line])
    assert json.loads(lines[-1])["status"] == 400
    assert one_decoder.stored() == before
    assert one_decoder.upload(("next.png", pictures.png())).status_code == 201


def test_uploads_beyond_the_limit_wait_before_their_body_is_received(one_decoder: Api) -> None:
    answers: list[int] = []
    with contextlib.ExitStack() as stack:
        begun = [stack.enter_context(socket.create_connection(("127.0.0.1", one_decoder.port))) for _ in range(4)]
        for connection in begun:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        time.sleep(1)
        uploading = threading.Thread(
            target=lambda: answers.append(one_decoder.upload(("a.png", pictures.png())).status_code)
        )
        uploading.start()
        time.sleep(1)
        assert answers == []
        assert one_decoder.client.get("/v1/datasets").status_code == 200, "other requests are served"
        begun[0].close()
        uploading.join()
    assert answers == [201]


def test_an_upload_gets_503_after_waiting_for_a_slot_and_one_key_has_half_of_the_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limiter, "WAIT_SECONDS", 0.1)

    async def check() -> None:
        four = limiter.UploadLimiter(4)
        async with four.slot("key_a"), four.slot("key_a"):
            with pytest.raises(Problem, match="this key already has 2 uploads in progress") as refusal:
                await four.slot("key_a").__aenter__()
            assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": limiter.RETRY_AFTER_SECONDS})
            async with four.slot("key_b"), four.slot(None):
                with pytest.raises(Problem, match="4 uploads are in progress"):
                    await four.slot("key_c").__aenter__()
            async with four.slot("key_c"), four.slot(None):
                pass
        assert four._in_use.total() == 0

    asyncio.run(check())


def test_no_slot_is_lost_if_a_waiting_upload_times_out_or_is_canceled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "WAIT_SECONDS", 0.02)

    async def use_slot(slots: limiter.UploadLimiter) -> None:
        async with slots.slot(None):
            await asyncio.sleep(0.001)

    async def check() -> None:
        two = limiter.UploadLimiter(2)
        for step in range(60):
            async with two.slot(None), two.slot(None):
                waiting = [asyncio.create_task(use_slot(two)) for _ in range(4)]
                await asyncio.sleep(0.0185 + 0.00005 * step)  # around the moment when they time out
                for task in waiting:
                    task.cancel()
            await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
            await asyncio.wait_for(use_slot(two), 5)
        assert two._in_use.total() == 0

    asyncio.run(check())


def test_an_upload_that_takes_too_long_to_decode_is_refused(tmp_path: Path, valkey: Valkey) -> None:
    with Api(tmp_path, valkey.url, **DEFAULT_LIMITS, GENCONVNET_UPLOAD_DECODE_SECONDS="0.5") as api:
        refusal = problem(api.upload(*_slow_to_decode(6)), 422)
        assert "fewer at a time" in refusal["detail"]
        assert api.stored()[1] == set()


@pytest.mark.parametrize("hang", [False, True])
def test_a_long_upload_leaves_nothing_when_the_service_stops(tmp_path: Path, valkey: Valkey, hang: bool) -> None:
    """If `hang`, the decoders hang, and the body of another upload never ends."""
    with Api(tmp_path, valkey.url, **DEFAULT_LIMITS) as api, contextlib.ExitStack() as stack:
        answers: list[httpx.Response] = []
        uploading = threading.Thread(target=lambda: answers.append(api.upload(*_slow_to_decode(40))))
        uploading.start()
        until(lambda: api.stored()[1])
        decoders = _decoders(api)
        if hang:
            endless = stack.enter_context(socket.create_connection(("127.0.0.1", api.port)))
            endless.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
            for decoder in decoders:
                decoder.suspend()
        else:
            for decoder in decoders:
                stack.enter_context(slowed(decoder))  # the upload lasts for longer than a service that stops waits
        os.kill(api.process.pid, signal.SIGTERM)
        api.process.wait(PATIENCE_SECONDS)
        uploading.join()
        problem(answers[0], 503)
        rows, files = api.stored()
        assert (rows["datasets"], files) == (0, set())
        assert decoders
        until(lambda: all(map(_is_dead, decoders)))


def _is_dead(process: psutil.Process) -> bool:
    """Return True if the process has ended; a zombie only waits for init to reap it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

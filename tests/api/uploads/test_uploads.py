"""No upload takes the API down: not one that kills its decoder, not one that never ends, not one that is too long."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
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
from support.valkey import Valkey
from support.waiting import PATIENCE_SECONDS, until

from api.errors import Problem
from api.uploads import limiter

SLOW = {
    "GENCONVNET_UPLOAD_IDLE_SECONDS": "1",
    "GENCONVNET_UPLOAD_GRACE_SECONDS": "1",
    "GENCONVNET_MIN_UPLOAD_BYTES_PER_SECOND": "1000",
    "GENCONVNET_HEADERS_SECONDS": "1",
}
GENEROUS = {
    "GENCONVNET_MAX_BODY_BYTES": "268435456",
    "GENCONVNET_MAX_FILE_BYTES": "33554432",
    "GENCONVNET_MAX_PICTURES": "2000",
    "GENCONVNET_MAX_PICTURE_SIDE": "16384",
    "GENCONVNET_MAX_PICTURE_PIXELS": "36000000",
}
HEAD = b"POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
OPENING = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
MEBIBYTE = 1 << 20


@pytest.fixture
def impatient(tmp_path: Path, valkey: Valkey) -> Iterator[Api]:
    api = Api(tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}", **SLOW)
    yield api
    api.stop()


@pytest.fixture
def generous(tmp_path: Path, valkey: Valkey) -> Iterator[Api]:
    (tmp_path / "spool").mkdir()
    api = Api(
        tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}", TMPDIR=str(tmp_path / "spool"), **GENEROUS
    )
    yield api
    api.stop()


def _decoders(api: Api) -> list[psutil.Process]:
    children = psutil.Process(api.process.pid).children()
    return [child for child in children if "api.datasets.decoder_process" in child.cmdline()]


def _peak_bytes(api: Api) -> int:
    """The most memory that the API has held so far."""
    status = Path(f"/proc/{api.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def _answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    connection.settimeout(20)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found


def test_a_decoder_that_dies_refuses_its_file_and_the_next_upload_has_another(api: Api) -> None:
    assert api.upload(("warm.png", pictures.png())).status_code == 201
    for decoder in _decoders(api):
        decoder.suspend()  # so that the upload is in its hands when it is killed
    before, answers = api.stored(), []
    upload = threading.Thread(target=lambda: answers.append(api.upload(("fatal.png", pictures.png()))))
    upload.start()
    time.sleep(0.3)
    assert api.client.get("/healthz").status_code == 200  # others are served meanwhile
    for decoder in _decoders(api):
        decoder.kill()
    upload.join()
    (error,) = problem(answers[0], 422)["errors"]
    assert (error["field"], error["file"]) == ("images[0]", "fatal.png")
    assert "died" in error["message"]
    assert api.stored() == before
    assert api.upload(("next.png", pictures.png())).status_code == 201


def test_a_decoder_that_dies_while_it_is_idle_is_not_noticed(api: Api) -> None:
    assert api.upload(("a.png", pictures.png())).status_code == 201
    for decoder in _decoders(api):
        decoder.kill()
        until(lambda decoder=decoder: decoder.status() == psutil.STATUS_ZOMBIE)
    assert api.upload(("b.png", pictures.png())).status_code == 201


def test_a_decoder_that_hangs_is_ended_in_time(tmp_path: Path, valkey: Valkey) -> None:
    url = f"sqlite:///{tmp_path / 'rows.sqlite3'}"
    api = Api(tmp_path, valkey.url, url, GENCONVNET_DECODE_SECONDS="5", GENCONVNET_DECODERS="1")
    try:
        assert api.upload(("warm.png", pictures.png())).status_code == 201
        (decoder,) = _decoders(api)
        decoder.suspend()
        (error,) = problem(api.upload(("hangs.png", pictures.png())), 422)["errors"]
        assert error["file"] == "hangs.png"
        assert "longer than 5 s" in error["message"]
        assert not decoder.is_running()
        assert api.upload(("next.png", pictures.png())).status_code == 201
    finally:
        api.stop()


def test_a_decoder_without_memory_refuses_the_picture(tmp_path: Path, valkey: Valkey) -> None:
    url, little = f"sqlite:///{tmp_path / 'rows.sqlite3'}", str(256 * MEBIBYTE)
    api = Api(tmp_path, valkey.url, url, **{**GENEROUS, "GENCONVNET_DECODER_MEMORY_BYTES": little})
    try:
        large = pictures.encoded(Image.new("RGBA", (6000, 6000)), "PNG")
        (error,) = problem(api.upload(("large.png", large)), 422)["errors"]
        assert error["file"] == "large.png"
        assert "memory" in error["message"]
        assert api.upload(("small.png", pictures.png())).status_code == 201
    finally:
        api.stop()


def test_the_largest_uploads_leave_the_api_below_1_gib(generous: Api) -> None:
    """A picture of the most pixels in the mode that takes most, and a body of the most bytes."""
    widest = pictures.encoded(Image.new("RGBA", (6000, 6000), (1, 2, 3, 4)), "PNG")
    deepest = pictures.encoded(Image.fromarray(np.full((6000, 6000), 70, np.uint16)), "PNG")
    assert generous.upload(("a.png", widest), ("b.png", deepest)).status_code == 201
    junk = bytes(29_000_000)
    problem(generous.upload(*((f"{index}.png", junk) for index in range(9))), 415)
    assert 0 < _peak_bytes(generous) < 1024 * MEBIBYTE


def test_small_files_of_an_upload_are_not_kept_in_memory(generous: Api) -> None:
    assert generous.upload(("a.png", pictures.png())).status_code == 201
    before = _peak_bytes(generous)
    files = [(f"{index}.png", bytes(128_000)) for index in range(2000)]
    problem(generous.upload(*files), 415)
    assert _peak_bytes(generous) - before < 100 * MEBIBYTE


def test_a_form_of_fields_without_files_is_refused(generous: Api) -> None:
    """They would be held in memory."""
    before = _peak_bytes(generous)
    problem(generous.client.post("/v1/datasets", files=[("images", (None, b"x" * 60_000))] * 2000), 400)
    problem(generous.client.post("/v1/datasets", files=[("name", (None, b"x" * 1_000_000))]), 400)
    assert _peak_bytes(generous) - before < 100 * MEBIBYTE


def test_as_many_files_as_allowed_come_in_one_form_and_no_more(generous: Api) -> None:
    files = [(f"{index}.png", b"") for index in range(1100)]  # Starlette's own bound is 1000
    assert len(problem(generous.upload(*files), 415)["errors"]) == 1100  # each was looked at
    told = problem(generous.upload(*((f"{index}.png", b"") for index in range(2001))), 413)
    assert "2000" in told["detail"]


def test_a_body_without_end_is_cut_off_and_the_spool_never_exceeds_the_cap(api: Api) -> None:
    cap, piece = 3_000_000, b"%x\r\n%s\r\n" % (50_000, b"\0" * 50_000)
    spooled, stopped = [0], threading.Event()

    def look() -> None:
        while not stopped.wait(0.002):
            spooled.append(_spooled_bytes(api.process.pid))

    watch = threading.Thread(target=look)
    watch.start()
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        opening = b"%x\r\n%s\r\n" % (len(OPENING), OPENING)
        sent = 0
        with contextlib.suppress(OSError):
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + opening)
            while sent < 40 * cap:
                connection.sendall(piece)
                sent += len(piece)
                spooled.append(_spooled_bytes(api.process.pid))  # also where the other thread has no turn
        answer = _answer(connection)
    stopped.set()
    watch.join()
    assert sent < 40 * cap, "the API took it all"
    assert b" 413 " in answer or answer == b""  # the answer may be lost to one who sends on and does not listen
    assert 1_000_000 < max(spooled) <= cap
    assert _spooled_bytes(api.process.pid) == 0


def _spooled_bytes(pid: int) -> int:
    """In files that have no name any more."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "(deleted)" in str(entry.readlink()):
                total += entry.stat().st_size
    return total


def test_a_body_of_which_nothing_comes_is_cut_off(impatient: Api) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        answer = _answer(connection)
    assert b" 408 " in answer
    assert b"application/problem+json" in answer


def test_a_body_that_trickles_is_cut_off(impatient: Api) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        connection.settimeout(0.2)
        began_at, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began_at < 20:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
    assert b" 408 " in answer


@pytest.mark.parametrize("first", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal"])
def test_a_head_that_does_not_come_is_cut_off(impatient: Api, first: bytes) -> None:
    """Also the second one on a connection."""
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(first)
        answer = _answer(connection)
    assert (b" 200 " in answer) == (b"\r\n\r\n" in first)


def test_an_upload_that_waits_between_requests_is_not_cut_off(impatient: Api) -> None:
    assert impatient.upload(("a.png", pictures.png())).status_code == 201
    time.sleep(1.5)
    assert impatient.upload(("a.png", pictures.png())).status_code == 201


def test_the_api_ends_with_an_upload_open_and_its_decoders_with_it(tmp_path: Path, valkey: Valkey) -> None:
    api = Api(tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}")
    assert api.upload(("a.png", pictures.png())).status_code == 201
    decoders = _decoders(api)
    assert decoders
    for decoder in decoders:
        decoder.suspend()
    hanging = threading.Thread(target=lambda: _ignoring_the_end(api))
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        hanging.start()
        time.sleep(0.3)  # it waits for a decoder that stands still
        os.kill(api.process.pid, signal.SIGTERM)
        api.process.wait(PATIENCE_SECONDS)
    hanging.join()
    until(lambda: all(map(_is_dead, decoders)))
    api.stop()


def _is_dead(process: psutil.Process) -> bool:
    """Gone, or waiting only to be taken note of by the system's first process."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _ignoring_the_end(api: Api) -> None:
    with contextlib.suppress(httpx.HTTPError):
        api.upload(("waits.png", pictures.png()))


@pytest.fixture
def one_decoder(tmp_path: Path, valkey: Valkey) -> Iterator[Api]:
    few = {"GENCONVNET_DECODERS": "1", "GENCONVNET_UPLOADS_AT_ONCE": "4"}
    api = Api(tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}", **{**GENEROUS, **few})
    yield api
    api.stop()


def _laborious(count: int) -> list[tuple[str, bytes]]:
    """Pictures that a decoder works on for a while."""
    content = pictures.encoded(Image.new("RGB", (6000, 6000)), "WEBP", lossless=True)  # a few bytes
    return [(f"{index:02d}.webp", content) for index in range(count)]


@pytest.mark.parametrize("archived", [True, False])
def test_a_long_upload_holds_up_no_other(one_decoder: Api, archived: bool) -> None:
    files = _laborious(8)
    parts: list[tuple[str, Any]] = [("images", file) for file in files]
    if archived:
        parts = [("archive", ("pictures.zip", pictures.zipped(dict(files), zipfile.ZIP_STORED)))]
    answered: list[httpx.Response] = []

    def upload_all() -> None:
        answered.append(one_decoder.client.post("/v1/datasets", files=parts, timeout=300))

    uploading = threading.Thread(target=upload_all)
    uploading.start()
    until(lambda: one_decoder.stored()[1])
    for name in ("a.png", "b.png"):
        assert one_decoder.upload((name, pictures.png())).status_code == 201
    assert answered == []
    uploading.join()
    assert answered[0].status_code == 201
    assert [image["filename"] for image in answered[0].json()["images"]] == [name for name, _ in files]


def test_nobody_decodes_on_for_a_client_that_has_gone(one_decoder: Api) -> None:
    files = [("images", file) for file in _laborious(8)]
    with pytest.raises(httpx.ReadTimeout):
        one_decoder.client.post("/v1/datasets", files=files, timeout=httpx.Timeout(60, read=1))
    lines = until(lambda: [line for line in one_decoder.log.read_text().splitlines() if '"POST"' in line])
    assert json.loads(lines[0])["status"] == 400
    counted, files = one_decoder.stored()
    assert (counted["datasets"], files) == (0, set())
    assert one_decoder.upload(("next.png", pictures.png())).status_code == 201


def test_uploads_beyond_those_taken_at_once_wait_without_being_received(one_decoder: Api) -> None:
    answered: list[int] = []
    with contextlib.ExitStack() as opened:
        begun = [opened.enter_context(socket.create_connection(("127.0.0.1", one_decoder.port))) for _ in range(4)]
        for connection in begun:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
        time.sleep(1)
        uploading = threading.Thread(
            target=lambda: answered.append(one_decoder.upload(("a.png", pictures.png())).status_code)
        )
        uploading.start()
        time.sleep(1)
        assert answered == []
        assert one_decoder.client.get("/v1/datasets").status_code == 200, "others are served"
        begun[0].close()
        uploading.join()
    assert answered == [201]


def test_who_waits_too_long_for_a_place_is_told_and_one_key_has_half_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "WAIT_SECONDS", 0.1)

    async def check() -> None:
        four = limiter.UploadLimiter(4)
        async with four.slot("key_a"), four.slot("key_a"):
            with pytest.raises(Problem, match="this key already has 2 uploads in progress") as told:
                await four.slot("key_a").__aenter__()
            assert (told.value.status, told.value.headers) == (503, {"Retry-After": limiter.RETRY_AFTER_SECONDS})
            async with four.slot("key_b"), four.slot(None):
                with pytest.raises(Problem, match="4 uploads are in progress"):
                    await four.slot("key_c").__aenter__()
            async with four.slot("key_c"), four.slot(None):
                pass
        assert four._in_use.total() == 0

    asyncio.run(check())


def test_places_outlive_those_who_give_up_waiting_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "WAIT_SECONDS", 0.02)

    async def wait_for(of: limiter.UploadLimiter) -> None:
        async with of.slot(None):
            await asyncio.sleep(0.001)

    async def check() -> None:
        two = limiter.UploadLimiter(2)
        for step in range(60):
            async with two.slot(None), two.slot(None):
                waiting = [asyncio.create_task(wait_for(two)) for _ in range(4)]
                await asyncio.sleep(0.0185 + 0.00005 * step)  # as their time is up
                for one in waiting:
                    one.cancel()
            await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
            await asyncio.wait_for(wait_for(two), 5)
        assert two._in_use.total() == 0

    asyncio.run(check())


def test_an_upload_that_takes_too_long_is_refused(tmp_path: Path, valkey: Valkey) -> None:
    url = f"sqlite:///{tmp_path / 'rows.sqlite3'}"
    api = Api(tmp_path, valkey.url, url, **{**GENEROUS, "GENCONVNET_UPLOAD_DECODE_SECONDS": "0.5"})
    try:
        told = problem(api.upload(*_laborious(3)), 422)
        assert "fewer at a time" in told["detail"]
        assert api.stored()[1] == set()
    finally:
        api.stop()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_long_upload_leaves_nothing_when_the_service_stops(tmp_path: Path, valkey: Valkey, hangs: bool) -> None:
    api = Api(tmp_path, valkey.url, f"sqlite:///{tmp_path / 'rows.sqlite3'}", **GENEROUS)
    answered: list[httpx.Response] = []
    uploading = threading.Thread(target=lambda: answered.append(api.upload(*_laborious(40))))
    uploading.start()
    until(lambda: api.stored()[1])
    for decoder in _decoders(api) if hangs else []:
        decoder.suspend()
    os.kill(api.process.pid, signal.SIGTERM)
    api.process.wait(PATIENCE_SECONDS)
    uploading.join()
    problem(answered[0], 503)
    counted, files = api.stored()
    assert (counted["datasets"], files) == (0, set())
    api.stop()

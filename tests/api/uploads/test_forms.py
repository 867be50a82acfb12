"""The largest uploads: what they may hold, and what of them is kept in memory and on disk."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import pictures
from support.http import Api, problem
from support.uploads import DEFAULT_LIMITS, HEAD, MEBIBYTE, OPENING, largest, receive_all
from support.valkey import Valkey


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


def test_the_largest_uploads_leave_the_api_below_1_gib(default_limits: Api) -> None:
    """The most pixels, in the mode that takes most memory, and then the largest body."""
    deepest = pictures.encoded(Image.fromarray(np.full((6000, 6000), 70, np.uint16)), "PNG", compress_level=1)
    assert default_limits.upload(("a.png", largest()), ("b.png", deepest)).status_code == 201
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
        answer = receive_all(connection)
    stopped.set()
    watcher.join()
    assert sent < 40 * limit, "the API received the whole body"
    assert b" 413 " in answer or answer == b""  # the reset may overtake the answer
    assert 1_000_000 < max(spooled) <= limit
    assert _spooled_bytes(api.process.pid) == 0


def _spooled_bytes(pid: int) -> int:
    """Return the size of the process's open files that have no name any more."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "(deleted)" in str(entry.readlink()):
                total += entry.stat().st_size
    return total


@pytest.fixture(scope="module")
def default_limits(tmp_path_factory: pytest.TempPathFactory, _valkey: Valkey) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("default-limits")
    (folder / "spool").mkdir()
    with Api(folder, _valkey.url, TMPDIR=str(folder / "spool"), **DEFAULT_LIMITS) as api:
        yield api

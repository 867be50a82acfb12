"""What a decoder process answers to the API, in the messages of their protocol."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any

import pytest
from support import pictures
from support.reading import LIMITS

from api.datasets.files import DecodeTask


class Decoder:
    """A decoder process, and the messages with which it answers."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "api.datasets.decoder_process", str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        self._pipe = Connection(ours.detach())
        limits = replace(LIMITS, max_file_bytes=50_000, max_body_bytes=100_000)
        self._pipe.send_bytes(json.dumps(asdict(limits)).encode())
        assert json.loads(self._pipe.recv_bytes()) == {"ready": True}

    def ask(self, kind: Any, content: bytes, **task: Any) -> list[tuple[str, Any]]:
        """Return the messages up to the last: the name of each, and its content; of a picture also the file."""
        given = DecodeTask(kind, "images[0]", "a.png", **{"bytes_left": 100_000, **task})
        self._pipe.send_bytes(json.dumps(asdict(given)).encode())
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            send_handle(self._pipe, file.fileno(), self.process.pid)
            found: list[tuple[str, Any]] = []
            while not found or found[-1][0] not in ("end", "more"):
                ((name, about),) = json.loads(self._pipe.recv_bytes()).items()
                if name in ("picture", "thumbnail"):
                    about["file"] = self._pipe.recv_bytes()
                found.append((name, about))
        return found

    def close(self) -> int:
        self._pipe.close()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    started = Decoder()
    yield started
    assert started.close() == 0, "it ends with its socket"


def test_a_picture_is_answered_with_its_file_and_what_is_known_of_it(decoder: Decoder) -> None:
    (_, picture), last = decoder.ask("picture", pictures.png(30, 20), bytes_left=7)
    assert (picture["filename"], picture["width"], picture["height"], picture["bits"]) == ("a.png", 30, 20, 8)
    assert pictures.decoded(picture["file"]).size == (30, 20)
    assert last == ("end", {"bytes_left": 7})


def test_a_map_keeps_its_bits_and_other_files_are_pictures(decoder: Decoder) -> None:
    deep = pictures.encoded(pictures.in_mode("I;16"), "PNG")
    for roles, bits in (({"a.png": "height"}, 16), ({"b.png": "height"}, 8), (None, 8)):
        (name, picture), _ = decoder.ask("picture", deep, roles=roles)
        assert (name, picture["bits"]) == ("picture", bits)


@pytest.mark.parametrize(
    ("kind", "content", "status", "reason"),
    [
        ("picture", b"no picture", 415, "not a "),
        ("picture", pictures.png()[:60], 422, "a broken picture"),
        ("picture", bytes(50_001), 413, "too large"),
        ("archive", b"no zip", 415, "zip"),
        ("thumbnail", b"no picture", 422, "a broken picture"),
    ],
)
def test_what_cannot_be_decoded_is_refused_and_the_process_goes_on(
    decoder: Decoder, kind: str, content: bytes, status: int, reason: str
) -> None:
    (name, refused), last = decoder.ask(kind, content)
    assert (name, refused["status"], refused["file"]["filename"]) == ("refused", status, "a.png")
    assert reason in refused["reason"]
    assert last[0] == "end"


def test_a_thumbnail_is_small_webp(decoder: Decoder) -> None:
    (name, thumbnail), _ = decoder.ask("thumbnail", pictures.png(800, 400))
    picture = pictures.decoded(thumbnail["file"])
    assert (name, picture.format, picture.size) == ("thumbnail", "WEBP", (384, 192))


def test_each_entry_of_an_archive_is_named_before_it_is_decoded(decoder: Decoder) -> None:
    entries = {"a.png": pictures.png(), "b.txt": b"text", "c.png": b"no picture"}
    found = decoder.ask("archive", pictures.zipped(entries))
    assert [name for name, _ in found] == ["skipped", "entry", "picture", "entry", "refused", "end"]
    assert [about["filename"] for name, about in found if name in ("entry", "skipped")] == ["b.txt", "a.png", "c.png"]
    assert found[1][1]["archive"] == "a.png"
    assert found[-1][1] == {"bytes_left": 100_000 - len(entries["a.png"]) - len(entries["c.png"])}


def test_an_archive_is_gone_on_with_from_an_entry(decoder: Decoder) -> None:
    zipped = pictures.zipped({f"{number}.png": pictures.png() for number in range(4)})
    found = decoder.ask("archive", zipped, first_entry=2)
    assert [about["filename"] for name, about in found if name == "picture"] == ["2.png", "3.png"]

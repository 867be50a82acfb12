"""A decoder that dies, hangs or takes too long fails its own upload, and delays no other."""

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
import psutil
import pytest
from PIL import Image
from support import pictures
from support.http import Api, problem
from support.service import slowed
from support.uploads import DEFAULT_LIMITS, HEAD, MEBIBYTE, OPENING, decoders, largest, slow_to_decode
from support.valkey import Valkey
from support.waiting import PATIENCE_SECONDS, until


def test_a_decoder_that_dies_fails_its_file_and_is_replaced(api: Api) -> None:
    assert api.upload(("warm.png", pictures.png())).status_code == 201
    for decoder in decoders(api):
        decoder.suspend()  # so that it has the upload when it is killed
    before, answers = api.stored(), []
    upload = threading.Thread(target=lambda: answers.append(api.upload(("fatal.png", pictures.png()))))
    upload.start()
    time.sleep(0.3)
    assert api.client.get("/healthz").status_code == 200  # other requests are served meanwhile
    for decoder in decoders(api):
        decoder.kill()
    upload.join()
    (error,) = problem(answers[0], 422)["errors"]
    assert (error["field"], error["file"]) == ("images[0]", "fatal.png")
    assert "died" in error["message"]
    assert api.stored() == before
    assert api.upload(("next.png", pictures.png())).status_code == 201


def test_the_entry_of_an_archive_of_which_a_decoder_dies_is_named(one_decoder: Api) -> None:
    assert one_decoder.upload(("warm.png", pictures.png())).status_code == 201
    (decoder,) = decoders(one_decoder)
    content = pictures.zipped({"a.png": pictures.png(), "b.png": largest(), "c.png": pictures.png()})
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
    for decoder in decoders(api):
        decoder.kill()
        until(lambda decoder=decoder: decoder.status() == psutil.STATUS_ZOMBIE)
    assert api.upload(("b.png", pictures.png())).status_code == 201


def test_a_decoder_that_hangs_is_killed_and_replaced(restricted_decoder: Api) -> None:
    assert restricted_decoder.upload(("warm.png", pictures.png())).status_code == 201
    (decoder,) = decoders(restricted_decoder)
    decoder.suspend()
    (error,) = problem(restricted_decoder.upload(("hangs.png", pictures.png())), 422)["errors"]
    assert error["file"] == "hangs.png"
    assert "longer than 5 s" in error["message"]
    assert not decoder.is_running()
    assert restricted_decoder.upload(("next.png", pictures.png())).status_code == 201


def test_a_decoder_that_runs_out_of_memory_fails_its_file(restricted_decoder: Api) -> None:
    (error,) = problem(restricted_decoder.upload(("large.png", largest())), 422)["errors"]
    assert error["file"] == "large.png"
    assert "memory" in error["message"]
    assert restricted_decoder.upload(("small.png", pictures.png())).status_code == 201


@pytest.mark.parametrize("archived", [True, False])
def test_a_long_upload_does_not_delay_others(one_decoder: Api, archived: bool) -> None:
    content = pictures.encoded(Image.new("RGB", (1600, 1600)), "WEBP", lossless=True)  # many turns of a slowed decoder
    files = [(f"{index:02d}.webp", content) for index in range(20)]
    parts: list[tuple[str, Any]] = [("images", file) for file in files]
    if archived:
        parts = [("archive", ("pictures.zip", pictures.zipped(dict(files), zipfile.ZIP_STORED)))]
    assert one_decoder.upload(("warm.png", pictures.png())).status_code == 201
    before, answers = one_decoder.stored(), list[httpx.Response]()
    (decoder,) = decoders(one_decoder)

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
    parts, before = [("images", file) for file in slow_to_decode(12)], one_decoder.stored()
    headers = {"X-Request-ID": "disconnects"}
    with pytest.raises(httpx.ReadTimeout):
        one_decoder.client.post("/v1/datasets", files=parts, headers=headers, timeout=httpx.Timeout(60, read=1))
    lines = until(lambda: [line for line in one_decoder.log.read_text().splitlines() if '"disconnects"' in line])
    assert json.loads(lines[-1])["status"] == 400
    assert one_decoder.stored() == before
    assert one_decoder.upload(("next.png", pictures.png())).status_code == 201


def test_an_upload_that_takes_too_long_to_decode_is_refused(tmp_path: Path, valkey: Valkey) -> None:
    with Api(tmp_path, valkey.url, **DEFAULT_LIMITS, GENCONVNET_UPLOAD_DECODE_SECONDS="0.5") as api:
        refusal = problem(api.upload(*slow_to_decode(6)), 422)
        assert "fewer at a time" in refusal["detail"]
        assert api.stored()[1] == set()


@pytest.mark.parametrize("hang", [False, True])
def test_a_long_upload_leaves_nothing_when_the_service_stops(tmp_path: Path, valkey: Valkey, hang: bool) -> None:
    """If `hang`, the decoders hang, and the body of another upload never ends."""
    with Api(tmp_path, valkey.url, **DEFAULT_LIMITS) as api, contextlib.ExitStack() as stack:
        answers: list[httpx.Response] = []
        uploading = threading.Thread(target=lambda: answers.append(api.upload(*slow_to_decode(40))))
        uploading.start()
        until(lambda: api.stored()[1])
        processes = decoders(api)
        if hang:
            endless = stack.enter_context(socket.create_connection(("127.0.0.1", api.port)))
            endless.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + OPENING)
            for decoder in processes:
                decoder.suspend()
        else:
            for decoder in processes:
                stack.enter_context(slowed(decoder))  # the upload lasts for longer than a service that stops waits
        os.kill(api.process.pid, signal.SIGTERM)
        api.process.wait(PATIENCE_SECONDS)
        uploading.join()
        problem(answers[0], 503)
        rows, files = api.stored()
        assert (rows["datasets"], files) == (0, set())
        assert processes
        until(lambda: all(map(_is_dead, processes)))


def _is_dead(process: psutil.Process) -> bool:
    """Return True if the process has ended; a zombie only waits for init to reap it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


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

"""Uploads at once: how many, how many of one key, and how long others wait."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from support import pictures
from support.http import Api
from support.uploads import HEAD, OPENING

from api.errors import Problem
from api.uploads import limiter


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

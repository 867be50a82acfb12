"""The command line: `genconvnet`.

Its modules import only what its help needs; each command imports the rest when it runs.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands import audit, datasets, job_commands, jobs, keys, models, pictures, presets
from api.commands.backup import backup, restore
from api.commands.doctor import doctor
from api.commands.exit_codes import output_errors_as_exit_codes
from api.commands.listing import AsJson
from api.commands.options import DataDir
from core.runtime.log_format import asked_for_json, is_json
from core.runtime.startup import exit_if_refused, print_refusal
from core.schemas.jobs import Queue
from core.version import VERSION

if TYPE_CHECKING:
    from api.settings import ApiSettings

app = typer.Typer(
    help="Learns a generative ConvNet from your own pictures and generates new ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

PROGRAM = "genconvnet"
MADE = "Models, jobs and pictures"
ON_THIS_MACHINE = "Run and look after a service on this machine"
LOGGING = (["serve"], ["api"], ["worker"])  # commands whose standard error is a log

Host = Annotated[str | None, typer.Option(help="Address to listen on. [GENCONVNET_HOST, default 127.0.0.1]")]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one. [GENCONVNET_PORT, default 8000]"),
]
WithoutKeys = Annotated[
    bool | None,
    typer.Option("--without-keys", help="Let everyone who can reach the service use it. [GENCONVNET_WITHOUT_KEYS]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")]
Check = Annotated[bool, typer.Option("--check", help="Only list missing files; exit with code 1 if there are any.")]

job_commands.add_to(app)
pictures.add_to(app, MADE)
for group in (jobs.app, models.app, datasets.app, presets.app):
    app.add_typer(group, rich_help_panel=MADE)


@app.command(epilog="Example: genconvnet serve --port 8000 --data-dir pictures", rich_help_panel=ON_THIS_MACHINE)
def serve(host: Host = None, port: Port = None, data_dir: DataDir = None, without_keys: WithoutKeys = None) -> None:
    """Run everything on this machine: broker, workers and API. Ctrl-C stops it; no accepted job is lost."""
    from api.embedded.serve import serve as run
    from core.runtime.logs import configure_logs
    from core.runtime.variables import log_unknown

    settings = _settings(host, port, data_dir, without_keys)
    configure_logs(settings)
    log_unknown()
    broker_url = settings.broker_url if "broker_url" in settings.model_fields_set else None
    run(settings, broker_url)


@app.command(epilog="Example: genconvnet api --host 0.0.0.0 --port 8000", rich_help_panel=ON_THIS_MACHINE)
def api(host: Host = None, port: Port = None, data_dir: DataDir = None, without_keys: WithoutKeys = None) -> None:
    """Run only the API, for deployments. Settings: GENCONVNET_* variables."""
    settings = _settings(host, port, data_dir, without_keys)
    _replace_process("api", [], settings)


@app.command(epilog="Example: genconvnet worker --queue train", rich_help_panel=ON_THIS_MACHINE)
def worker(
    queue: Annotated[Queue, typer.Option(help="Which jobs to run: train (long) or sample (short).")],
    data_dir: DataDir = None,
) -> None:
    """Run one worker, for deployments. Settings: GENCONVNET_* variables."""
    _replace_process("worker", [queue.value], _settings(None, None, data_dir))


@app.command(epilog="Example: genconvnet sweep --dry-run", rich_help_panel=ON_THIS_MACHINE)
def sweep(dry_run: DryRun = False, check: Check = False, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Delete expired jobs, orphaned files and old idempotency keys."""
    from api.commands.sweep import sweep as run

    run(_settings(None, None, data_dir), dry_run=dry_run, check=check, as_json=as_json)


app.add_typer(keys.app, name="keys", rich_help_panel=ON_THIS_MACHINE)
for name, function, example in (
    ("audit", audit.show, "genconvnet audit --limit 100"),
    ("doctor", doctor, "genconvnet doctor --deep"),
    ("backup", backup, "genconvnet backup monday.backup"),
    ("restore", restore, "genconvnet restore monday.backup --data-dir restored"),
):
    app.command(name, epilog=f"Example: {example}", rich_help_panel=ON_THIS_MACHINE)(function)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"genconvnet {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that belong to no command."""


def main() -> None:
    """Run the command that the process was started with.

    Errors are sentences for people, in a line of JSON if --json or GENCONVNET_LOG_FORMAT asks for it. What serve, api
    and worker say when they cannot start belongs to their logs, and has their form.
    """
    words = sys.argv[1:]
    as_json = "--json" in words or asked_for_json()
    as_logs = as_json or (words[:1] in LOGGING and is_json())
    with exit_if_refused(PROGRAM, as_json=as_logs), output_errors_as_exit_codes(PROGRAM, as_json=as_json):
        if not as_json and sys.stderr.isatty():
            app(prog_name=PROGRAM)
        else:
            raise SystemExit(_with_errors_as_lines(as_json=as_json))


def _with_errors_as_lines(*, as_json: bool) -> int:
    """Run the command and return its exit code; print wrong use as one line."""
    try:
        return app(prog_name=PROGRAM, standalone_mode=False) or 0
    except typer.Abort:
        return 1
    except typer.TyperException as error:
        if sentence := error.format_message():  # none if there were no arguments: then help was printed
            context = getattr(error, "ctx", None)
            print_refusal(f"{PROGRAM if context is None else context.command_path}: {sentence}", as_json=as_json)
        return error.exit_code


def _settings(
    host: str | None, port: int | None, data_dir: Path | None, without_keys: bool | None = None
) -> "ApiSettings":
    from api.settings import ApiSettings

    given = {"host": host, "port": port, "data_dir": data_dir, "without_keys": without_keys}
    return ApiSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _replace_process(module: str, arguments: list[str], settings: "ApiSettings") -> None:
    """Replace this process by `python -P -m module`. -P ignores a folder `core` in the working directory."""
    os.environ["GENCONVNET_DATA_DIR"] = str(settings.data_dir)
    os.environ["GENCONVNET_WITHOUT_KEYS"] = str(settings.without_keys)
    os.environ["GENCONVNET_HOST"], os.environ["GENCONVNET_PORT"] = settings.host, str(settings.port)
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])

"""The one command: `genconvnet`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.commands import audit, keys
from api.commands.backup import backup, restore
from api.commands.doctor import doctor
from api.settings import ApiSettings
from core.runtime.logs import configure_logs
from core.runtime.settings import BadSettings
from core.schemas.jobs import Queue

app = typer.Typer(
    help="Learns a generative ConvNet from your own pictures and makes new ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Host = Annotated[str | None, typer.Option(help="Address to listen on. [GENCONVNET_HOST, else 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one. [GENCONVNET_PORT, else 8000]")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of rows and blobs. [GENCONVNET_DATA_DIR, else ./genconvnet-data]")
]
WithoutKeys = Annotated[
    bool | None,
    typer.Option("--without-keys", help="Let all who reach the service use it. [GENCONVNET_WITHOUT_KEYS]"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")]
Check = Annotated[bool, typer.Option("--check", help="Only tell whose files are missing; exit 1 where any is.")]

app.add_typer(keys.app, name="keys")
app.command("audit")(audit.show)


@app.command()
def serve(host: Host = None, port: Port = None, data_dir: DataDir = None, without_keys: WithoutKeys = None) -> None:
    """Run everything on this machine: broker, workers and the API. Ctrl-C stops it; nothing accepted is lost."""
    from api.embedded.serve import CannotServe
    from api.embedded.serve import serve as run

    settings = _settings(host, port, data_dir, without_keys)
    configure_logs(settings)
    given = settings.broker_url if "broker_url" in settings.model_fields_set else None
    try:
        run(settings, given)
    except CannotServe as error:
        typer.secho(f"genconvnet serve: {error}", err=True, fg="red")
        raise typer.Exit(1) from error


@app.command()
def api(host: Host = None, port: Port = None, data_dir: DataDir = None, without_keys: WithoutKeys = None) -> None:
    """Run the API alone, for deployments. Settings: GENCONVNET_* variables."""
    settings = _settings(host, port, data_dir, without_keys)
    _become("api", [], settings)


@app.command()
def worker(
    queue: Annotated[Queue, typer.Option(help="Which jobs: train (long) or sample (short).")], data_dir: DataDir = None
) -> None:
    """Run one worker, for deployments. Settings: GENCONVNET_* variables."""
    _become("worker", [queue.value], _settings(None, None, data_dir))


@app.command()
def sweep(dry_run: DryRun = False, check: Check = False, data_dir: DataDir = None) -> None:
    """Delete jobs that are no longer kept, files that belong to nothing, and old idempotency keys."""
    from api.commands.sweep import sweep as run

    run(_settings(None, None, data_dir), dry_run=dry_run, check=check)


app.command()(doctor)
app.command()(backup)
app.command()(restore)


def main() -> None:
    try:
        app()
    except BadSettings as error:
        sys.exit(f"genconvnet: {error}")


def _settings(
    host: str | None, port: int | None, data_dir: Path | None, without_keys: bool | None = None
) -> ApiSettings:
    given = {"host": host, "port": port, "data_dir": data_dir, "without_keys": without_keys}
    return ApiSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _become(module: str, arguments: list[str], settings: ApiSettings) -> None:
    """Turn this process into that part. -P: a stray folder `core` where the user stands does not shadow ours."""
    os.environ["GENCONVNET_DATA_DIR"] = str(settings.data_dir)
    os.environ["GENCONVNET_WITHOUT_KEYS"] = str(settings.without_keys)
    os.environ["GENCONVNET_HOST"], os.environ["GENCONVNET_PORT"] = settings.host, str(settings.port)
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])

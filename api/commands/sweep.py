"""`genconvnet sweep` runs one retention sweep now."""

import typer

from api.retention_sweep import sweep as run_sweep
from api.settings import ApiSettings
from core.storage import orphaned_files
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.startup import check_blob_folder, open_database


def sweep(settings: ApiSettings, *, dry_run: bool, check: bool) -> None:
    """Sweep and print what was deleted or, if `dry_run`, would be.

    If `check`, only list the missing files; raises typer.Exit(1) if there are any.
    """
    check_blob_folder(settings)
    with open_database(settings, upgrade=False) as database:
        if check:
            _check(database, Blobs(settings.blobs_url))
        else:
            _sweep(database, Blobs(settings.blobs_url), settings, dry_run)


def _sweep(database: Database, blobs: Blobs, settings: ApiSettings, dry_run: bool) -> None:
    result = run_sweep(database, blobs, settings, dry_run=dry_run)
    for job in result.jobs:
        typer.echo(f"{job.job_id}  {job.bytes} bytes")
    for file in result.files:
        typer.echo(f"{file.path}  {file.bytes} bytes")
    verb = "would be deleted" if dry_run else "were deleted"
    counts = f"{len(result.jobs)} jobs, {len(result.files)} orphaned files and {result.keys} idempotency keys"
    typer.echo(f"{counts} {verb}: {result.bytes} bytes")
    if result.database_bytes:
        typer.echo(f"the database's file is {result.database_bytes} bytes smaller")


def _check(database: Database, blobs: Blobs) -> None:
    missing = list(orphaned_files.find_missing(database, blobs))
    for file in missing:
        typer.echo(f"{file.owner_id} lacks {file.path}")
    typer.echo(f"{len(missing)} files are missing")
    if missing:
        raise typer.Exit(1)

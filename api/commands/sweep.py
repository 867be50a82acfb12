"""`genconvnet sweep`: what is not kept goes now."""

import typer

from api.retention_sweep import sweep as run
from api.settings import ApiSettings
from core.storage import orphaned_files
from core.storage.blobs import Blobs
from core.storage.database import Database


def sweep(settings: ApiSettings, *, dry_run: bool, check: bool) -> None:
    """Tell what was deleted, would be, or is missing. Exit 1 where anything is."""
    database = Database(settings.rows_url)
    database.migrate()
    try:
        if check:
            _check(database, Blobs(settings.blobs_url))
        else:
            _sweep(database, Blobs(settings.blobs_url), settings, dry_run)
    finally:
        database.dispose()


def _sweep(database: Database, blobs: Blobs, settings: ApiSettings, dry_run: bool) -> None:
    swept = run(database, blobs, settings, dry_run=dry_run)
    for job in swept.jobs:
        typer.echo(f"{job.job_id}  {job.bytes} bytes")
    for file in swept.files:
        typer.echo(f"{file.path}  {file.bytes} bytes")
    verb = "would be deleted" if dry_run else "were deleted"
    counts = f"{len(swept.jobs)} jobs, {len(swept.files)} files of nobody and {swept.keys} idempotency keys"
    typer.echo(f"{counts} {verb}: {swept.bytes} bytes")


def _check(database: Database, blobs: Blobs) -> None:
    missing = list(orphaned_files.find_missing(database, blobs))
    for one in missing:
        typer.echo(f"{one.owner_id} lacks {one.path}")
    typer.echo(f"{len(missing)} files are missing")
    if missing:
        raise typer.Exit(1)

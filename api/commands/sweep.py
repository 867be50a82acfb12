"""`genconvnet sweep` runs one retention sweep now."""

import typer

from api.commands.listing import print_json
from api.operations.retention_sweep import sweep as run_sweep
from api.settings import ApiSettings
from core.storage import orphaned_files
from core.storage.blobs import Blobs
from core.storage.database import Database
from core.storage.startup import check_blobs, open_database


def sweep(settings: ApiSettings, *, dry_run: bool, check: bool, as_json: bool) -> None:
    """Sweep and print what was deleted or, if `dry_run`, would be.

    If `check`, only list the missing files; raises typer.Exit(1) if there are any.
    """
    check_blobs(settings)
    with open_database(settings, upgrade=False) as database:
        if check:
            _check(database, Blobs(settings.blobs_url), as_json)
        else:
            _sweep(database, Blobs(settings.blobs_url), settings, dry_run, as_json)


def _sweep(database: Database, blobs: Blobs, settings: ApiSettings, dry_run: bool, as_json: bool) -> None:
    result = run_sweep(database, blobs, settings, dry_run=dry_run)
    for job in result.jobs:
        _print(as_json, f"{job.job_id}  {job.bytes} bytes", job_id=job.job_id, bytes=job.bytes)
    for file in result.files:
        _print(as_json, f"{file.path}  {file.bytes} bytes", path=file.path, bytes=file.bytes)
    verb = "would be deleted" if dry_run else "were deleted"
    counts = f"{len(result.jobs)} jobs, {len(result.files)} orphaned files and {result.keys} idempotency keys"
    totals = {"jobs": len(result.jobs), "files": len(result.files), "idempotency_keys": result.keys}
    sizes = {"bytes": result.bytes, "database_bytes": result.database_bytes}
    _print(as_json, f"{counts} {verb}: {result.bytes} bytes", **totals, **sizes, deleted=not dry_run)
    if result.database_bytes and not as_json:
        typer.echo(f"the database's file is {result.database_bytes} bytes smaller")


def _check(database: Database, blobs: Blobs, as_json: bool) -> None:
    missing = list(orphaned_files.find_missing(database, blobs))
    for file in missing:
        _print(as_json, f"{file.owner_id} lacks {file.path}", owner_id=file.owner_id, missing=file.path)
    _print(as_json, f"{len(missing)} files are missing", missing_files=len(missing))
    if missing:
        raise typer.Exit(1)


def _print(as_json: bool, line: str, **entry: object) -> None:
    if as_json:
        print_json(entry)
    else:
        typer.echo(line)

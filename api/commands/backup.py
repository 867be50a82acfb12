"""`genconvnet backup` and `genconvnet restore`: the database and all files in one archive."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.commands.listing import AsJson, print_json
from api.commands.options import DataDir
from api.embedded.attached import LOCK
from core.runtime.startup import prepare_folder

if TYPE_CHECKING:
    from core.runtime.settings import Settings


def backup(
    file: Annotated[Path, typer.Argument(help="Archive to write.")], as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Write the database and all files to one archive. The service may keep running."""
    from obstore.exceptions import BaseError

    from core.storage.backup import BackupFailed, back_up
    from core.storage.blobs import Blobs
    from core.storage.database import Database
    from core.storage.startup import refusals_as_sentences

    settings = _settings(data_dir)
    if file.exists():
        _fail("backup", f"{file} already exists")
    if settings.database_url is None and not (settings.data_dir / "genconvnet.sqlite3").exists():
        _fail("backup", f"there is no database in {settings.data_dir}")
    database = Database(settings.rows_url)
    try:
        with refusals_as_sentences(database.engine.url):
            summary = back_up(database, Blobs(settings.blobs_url), file)
    except (BackupFailed, BaseError, OSError) as error:
        _fail("backup", str(error))
    finally:
        database.dispose()
    if as_json:
        print_json({"file": str(file), "rows": summary.rows, "files": summary.files})
    else:
        typer.echo(f"{file}: {summary.rows} rows, {summary.files} files")


def restore(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="Archive made by `genconvnet backup`; - for standard input.")
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Restore an archive into an empty database and an empty file storage."""
    from obstore.exceptions import BaseError
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from core.storage.backup_archive import BadArchive
    from core.storage.blobs import Blobs
    from core.storage.database import Database
    from core.storage.restore import NotEmpty
    from core.storage.restore import restore as restore_archive
    from core.storage.startup import OTHER_FOLDER, reason_of

    settings = _settings(data_dir)
    prepare_folder(settings.data_dir, "the data folder", OTHER_FOLDER)
    with _exclusive(settings.data_dir):
        database = Database(settings.rows_url)
        try:
            summary = restore_archive(database, Blobs(settings.blobs_url), file)
        except BadArchive as error:
            _fail("restore", f"cannot restore {file.name}: {error}. Nothing was changed")
        except NotEmpty as error:
            _fail("restore", f"{error}. Nothing was changed")
        except (SQLAlchemyError, BaseError, OSError) as error:
            reason = reason_of(error) if isinstance(error, DBAPIError) else str(error)
            _fail(
                "restore",
                f"{reason}. Run it again: it removes what this attempt left, or says that all was restored",
            )
        finally:
            database.dispose()
    if as_json:
        print_json({"file": file.name, "rows": summary.rows, "files": summary.files})
    else:
        typer.echo(f"{file.name}: {summary.rows} rows and {summary.files} files were restored")


@contextmanager
def _exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the lock of `genconvnet serve` during the block, so that no service runs on the folder."""
    with (data_dir / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _fail("restore", f"a service is running on {data_dir}: stop it first")
        yield


def _settings(data_dir: Path | None) -> "Settings":
    from core.runtime.settings import Settings

    return Settings() if data_dir is None else Settings(data_dir=data_dir)


def _fail(command: str, message: str) -> NoReturn:
    line = " ".join(message.split())  # a storage's error may have several lines
    typer.secho(f"genconvnet {command}: {line}", err=True, fg="red")
    raise typer.Exit(1)

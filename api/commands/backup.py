"""`genconvnet backup` and `genconvnet restore`: rows and files in one archive."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from core.runtime.settings import Settings

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of rows and blobs. [GENCONVNET_DATA_DIR, else ./genconvnet-data]")
]


def backup(file: Annotated[Path, typer.Argument(help="The archive to write.")], data_dir: DataDir = None) -> None:
    """Write all rows and files into one archive, while the service goes on."""
    from obstore.exceptions import BaseError
    from sqlalchemy.exc import SQLAlchemyError

    from core.storage.backup import BackupFailed, back_up
    from core.storage.blobs import Blobs
    from core.storage.database import Database
    from core.storage.revision import WrongSchema

    settings = _settings(data_dir)
    if file.exists():
        _fail("backup", f"{file} is there already")
    if settings.database_url is None and not (settings.data_dir / "genconvnet.sqlite3").exists():
        _fail("backup", f"there is nothing in {settings.data_dir}")
    database = Database(settings.rows_url)
    try:
        summary = back_up(database, Blobs(settings.blobs_url), file)
    except (BackupFailed, WrongSchema, SQLAlchemyError, BaseError, OSError) as error:
        _fail("backup", str(error))
    finally:
        database.dispose()
    typer.echo(f"{file}: {summary.rows} rows, {summary.files} files")


def restore(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="An archive of `genconvnet backup`; - for standard input.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Bring an archive back, into an empty database and an empty place for files."""
    from obstore.exceptions import BaseError
    from sqlalchemy.exc import SQLAlchemyError

    from core.storage.backup_archive import BadArchive
    from core.storage.blobs import Blobs
    from core.storage.database import Database
    from core.storage.restore import NotEmpty
    from core.storage.restore import restore as bring_back

    settings = _settings(data_dir)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _alone(settings.data_dir):
        database = Database(settings.rows_url)
        try:
            summary = bring_back(database, Blobs(settings.blobs_url), file)
        except BadArchive as error:
            _fail("restore", f"{file.name} is refused: {error}. Nothing was changed")
        except NotEmpty as error:
            _fail("restore", f"{error}. Nothing was changed")
        except (SQLAlchemyError, BaseError, OSError) as error:
            _fail(
                "restore", f"{error}. Run it again: it clears away what is left of this try, and says so where all came"
            )
        finally:
            database.dispose()
    typer.echo(f"{file.name}: {summary.rows} rows and {summary.files} files are back")


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """While this goes on no `genconvnet serve` runs on the folder."""
    with (data_dir / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _fail("restore", f"a service runs on {data_dir}: stop it first")
        yield


def _settings(data_dir: Path | None) -> Settings:
    return Settings() if data_dir is None else Settings(data_dir=data_dir)


def _fail(command: str, message: str) -> NoReturn:
    typer.secho(f"genconvnet {command}: {message}", err=True, fg="red")
    raise typer.Exit(1)

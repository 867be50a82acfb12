"""Checks the free disk space. Uploads and jobs are refused while it is low, so that accepted jobs can be finished."""

import shutil
from pathlib import Path

from api.app_state import AppState
from api.errors import Problem


def ensure_disk_space(app_state: AppState) -> None:
    """Raise Problem 507 if the disk of a local folder with rows or files is nearly full."""
    for folder in local_folders(app_state).values():
        if shortage := find_shortage(folder, app_state.settings.min_free_bytes):
            raise Problem(507, f"{shortage}: delete jobs or datasets")


def local_folders(app_state: AppState) -> dict[str, Path]:
    """Return the local folders of the "rows" and the "files". None are left if both are stored elsewhere."""
    folders = {"rows": app_state.settings.data_dir} if app_state.settings.database_url is None else {}
    return folders if app_state.blobs.folder is None else {**folders, "files": app_state.blobs.folder}


def find_shortage(folder: Path, min_free_bytes: int) -> str | None:
    """Return a message if fewer than `min_free_bytes` bytes are free on the disk of `folder`, else None."""
    free = shutil.disk_usage(folder).free
    if free >= min_free_bytes:
        return None
    return f"only {free} bytes are free on the disk of the folder {folder.name}, and {min_free_bytes} are required"

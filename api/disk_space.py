"""Room on the disk: what would not fit is refused at the door, so that what was accepted can be finished."""

import shutil

from api.app_state import AppState
from api.errors import Problem


def ensure_disk_space(app_state: AppState) -> None:
    """Problem 507 where a disk that rows or files are written to is nearly full."""
    folders = {app_state.settings.data_dir} if app_state.settings.database_url is None else set()
    if app_state.blobs.folder is not None:
        folders.add(app_state.blobs.folder)
    for folder in folders:
        free, least = shutil.disk_usage(folder).free, app_state.settings.min_free_bytes
        if free < least:
            detail = f"the disk of {folder.name} has {free} bytes free, and {least} are kept: delete jobs or datasets"
            raise Problem(507, detail)

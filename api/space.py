"""Room on the disk: what would not fit is refused at the door, so that what was accepted can be finished."""

import shutil

from api.app_state import House
from api.errors import Problem


def ensure_room(house: House) -> None:
    """Problem 507 where a disk that rows or files are written to is nearly full."""
    folders = {house.settings.data_dir} if house.settings.database_url is None else set()
    if house.blobs.folder is not None:
        folders.add(house.blobs.folder)
    for folder in folders:
        free, least = shutil.disk_usage(folder).free, house.settings.min_free_bytes
        if free < least:
            detail = f"the disk of {folder.name} has {free} bytes free, and {least} are kept: delete jobs or datasets"
            raise Problem(507, detail)

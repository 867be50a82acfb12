"""Which files of a form are the pictures of a dataset."""

import re
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import UploadFile

from api.datasets.zip_upload import ZIP_SIGNATURES
from api.errors import Problem
from api.http.openapi import BINARY
from api.uploads.forms import FormFile, UploadForm
from core.schemas.materials import MAX_CHANNELS
from core.storage.tables import NAME_LENGTH

FIELDS: dict[str, Any] = {
    "images": {
        "type": "array",
        "items": BINARY,
        "description": "Pictures: PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or HEIC. A zip among them is opened.",
    },
    "archive": {**BINARY, "description": "Or one zip of pictures."},
    "maps": {
        "type": "string",
        "description": "JSON, an object of file names and roles: the files are the maps of one material, learned "
        "together. Roles: albedo, normal, height, roughness, metalness, occlusion, other; each at most once. All files "
        f"have one size, and at most {MAX_CHANNELS} channels together.",
    },
    "name": {"type": "string", "maxLength": NAME_LENGTH},
}
HOW_TO_SEND = "send pictures in the field images, or one zip in the field archive, as multipart/form-data"
ARCHIVE = "archive"
# Other names under which clients send pictures, each also with [] or [0] after it.
SYNONYMS = frozenset({"images", "image", "files", "file", "pictures", "picture", "photos", "photo"})
_INDEX = re.compile(r"\[\d*\]$")


def pictures_of(form: UploadForm) -> Sequence[FormFile]:
    """Return the form's files, each under the name that problems call it by: images[0], or archive.

    Raises Problem, naming the fields to use, if it is not plain that all of the files are pictures.
    """
    _refuse_texts(form)
    _refuse_other_fields(form)
    archives = [file for file in form.files if file.field == ARCHIVE]
    if len(archives) > 1 or (archives and len(form.files) > 1):
        raise _problem("images", "or archive is required, not both; several zips may be sent as images")
    if not form.files:
        raise _problem("images", "or archive is required: " + HOW_TO_SEND)
    return archives or [FormFile(f"images[{index}]", file.upload) for index, file in enumerate(form.files)]


def is_archive(field: str, upload: UploadFile) -> bool:
    """Return True for a file that is to be opened as a zip: one sent as such, or that begins like one."""
    start = upload.file.read(len(ZIP_SIGNATURES[0]))
    upload.file.seek(0)
    return field == ARCHIVE or start in ZIP_SIGNATURES


def _refuse_texts(form: UploadForm) -> None:
    for field in form.texts:
        if _INDEX.sub("", field) in {*SYNONYMS, ARCHIVE}:
            raise _problem(field, f"is text, not a file: with curl, write -F {field}=@picture.png")


def _refuse_other_fields(form: UploadForm) -> None:
    errors = [
        {"field": file.field, "file": file.upload.filename or "", "message": f"not a field of files: {HOW_TO_SEND}"}
        for file in form.files
        if _INDEX.sub("", file.field) not in {*SYNONYMS, ARCHIVE}
    ]
    if errors:
        raise Problem(422, f"{errors[0]['field']}: {errors[0]['message']}", errors)


def _problem(field: str, message: str) -> Problem:
    return Problem(422, f"{field}: {message}", [{"field": field, "message": message}])

"""The header Idempotency-Key, and the hashes that tell whether two requests under one key are the same."""

import hashlib
import json
from typing import Annotated, BinaryIO

from fastapi import Header
from pydantic import BaseModel

from api.uploads.forms import UploadForm
from core.storage.idempotency import Idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="A repeated request with the same key and content returns what the first one created.",
    ),
]


def of_body(key: str | None, body: BaseModel) -> Idempotency | None:
    """Return the key with the hash of the fields that the client sent; None without a key.

    Defaults are not hashed: such as a drawn seed, they differ between requests.
    """
    return None if key is None else Idempotency(key, _sha256(body.model_dump(mode="json", exclude_unset=True)))


def of_form(key: str | None, form: UploadForm) -> Idempotency | None:
    """Return the key with the hash of the form's texts and files, with their names; None without a key.

    The files are read in chunks, and are at their beginning afterwards.
    """
    if key is None:
        return None
    files = [[file.field, file.upload.filename, _file_sha256(file.upload.file)] for file in form.files]
    return Idempotency(key, _sha256({"texts": form.texts, "files": files}))


def _sha256(content: object) -> bytes:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def _file_sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return digest

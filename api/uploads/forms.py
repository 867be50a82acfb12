"""Read forms with files. A file may have its name as `filename*`, as some clients send it, besides `filename`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from api.app_state import AppState
from api.errors import Problem, validation_problem
from core.storage.tables import NAME_LENGTH

SPOOL_BYTES = 1 << 14  # a file is held in memory up to this size, and written to disk beyond it
MAX_FIELDS, FIELD_BYTES = 100, 1 << 16  # of a form's other fields, which are held in memory


@dataclass(frozen=True)
class FormFile:
    """A file and the name of the field that it was sent in."""

    field: str
    upload: UploadFile


@dataclass(frozen=True)
class UploadForm:
    """A form's files in their order, and its other fields. Of a field that is sent twice, the last is kept."""

    files: Sequence[FormFile]
    texts: dict[str, str]

    def name(self) -> str | None:
        """Return the field `name`. Raises Problem if it is longer than NAME_LENGTH or contains a NUL."""
        name = self.texts.get("name")
        if name is not None and (len(name) > NAME_LENGTH or "\0" in name):
            message = f"must be at most {NAME_LENGTH} characters, without NUL"
            raise validation_problem([{"field": "name", "message": message}])
        return name


async def _upload_form(request: Request) -> AsyncIterator[UploadForm]:
    """Yield the request's form, and close its files afterwards. Raises HTTPException or Problem."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        yield UploadForm([], {})
        return
    app_state: AppState = request.app.state.app_state
    parser = _FormParser(
        request.headers,
        request.stream(),
        max_files=app_state.settings.max_pictures,
        max_fields=MAX_FIELDS,
        max_part_size=FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except (HTTPException, Problem):
        raise
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
    except Exception as error:  # as FastAPI does: of the disk, the client, or what a malformed header leads to
        raise HTTPException(400, "the form cannot be read") from error
    try:
        yield _sorted_form(form)
    finally:
        await form.close()


UploadFormDep = Annotated[UploadForm, Depends(_upload_form)]


def _sorted_form(form: FormData) -> UploadForm:
    files, texts = [], {}
    for field, value in form.multi_items():
        if isinstance(value, str):
            texts[_encodable(field)] = _encodable(value)
        elif _is_sent(value):
            value.filename = _encodable(value.filename or "")
            files.append(FormFile(_encodable(field), value))
    return UploadForm(files, texts)


def _encodable(text: str) -> str:
    """Return the text with ? in place of lone surrogates, which some encodings have and UTF-8 has not."""
    return text.encode(errors="replace").decode()


def _is_sent(file: UploadFile) -> bool:
    """Return False for what a browser sends if no file was chosen."""
    return bool(file.filename or file.size)


class _FormParser(MultiPartParser):
    """Starlette's parser, which does not know `filename*` and would take such a file for a text field."""

    spool_max_size = SPOOL_BYTES

    def on_headers_finished(self) -> None:
        part = self._current_part
        name = _extended_filename(part.content_disposition or b"")
        if name is not None:
            part.content_disposition = (part.content_disposition or b"") + b'; filename=""'
        super().on_headers_finished()
        if name is not None and part.file is not None:
            part.file.filename = name


def _extended_filename(disposition: bytes) -> str | None:
    """Return the file's name if it is given as RFC 2231 says: filename*=UTF-8''%E2%82%AC.png"""
    if b"filename*" not in disposition.lower():
        return None
    message = Message()
    message["Content-Disposition"] = disposition.decode("latin-1")
    values = [value for name, value in message.get_params([], "content-disposition") if name == "filename"]
    return next((collapse_rfc2231_value(value) for value in values if isinstance(value, tuple)), None)

"""What a picture says about its own making: JSON in a text chunk of its PNG file. Without torch, without Pillow.

A picture's origin is a function of what was asked for, and says nothing of when or for whom: equal work gives equal
files, byte for byte. So it names a model and a dataset by the SHA-256 of their content, and no job.

PNG: a signature, then chunks of length, name, content and checksum (https://www.w3.org/TR/png-3/). An iTXt chunk has a
keyword, a zero, whether it is compressed, two empty fields that end with a zero, and text in UTF-8.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated, Any, BinaryIO, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.pictures.png_chunks import SIGNATURE, chunk
from core.version import VERSION

KEYWORD, SOFTWARE = b"genconvnet", b"Software"
MAX_BYTES = 1 << 16  # of the text
MAX_CHUNKS = 10_000  # that are looked at
HEADER_BYTES = len(SIGNATURE) + 25  # the signature and the first chunk, IHDR

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=100)]
MadeBy = Literal["train", "sample", "reconstruct", "inpaint"]


DAMAGED = "what it says about its making is damaged"


class NoOrigin(ValueError):
    """The file does not say how it was made: it is no PNG, or was made or stored by other software."""


class BadOrigin(ValueError):
    """What the file says about its making is damaged or was altered. The message says where."""


class DatasetOrigin(BaseModel):
    """A dataset by its content. sha256: of the SHA-256 of its pictures, one a line; first: that of the first one.

    The lines of a material's maps also have their roles, after a space.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    sha256: Hash
    first: Hash
    pictures: Annotated[int, Field(ge=1)]

    @classmethod
    def of(cls, hashes: Sequence[str], roles: Sequence[str | None] = ()) -> Self:
        """Return the origin of a dataset, given the SHA-256 of each picture in its order; of a map also its role."""
        pairs = zip(hashes, roles or [None] * len(hashes), strict=True)
        named = [f"{one} {role}" if role else one for one, role in pairs]
        lines = "".join(f"{one}\n" for one in named)
        return cls(sha256=sha256(lines.encode()).hexdigest(), first=hashes[0], pictures=len(hashes))


class Origin(BaseModel):
    """How a picture was made.

    version: of this software. kind, params: of a job that makes it again; for a picture of a sampling job, which does
    not depend on the others, a job that draws it alone. name, index: of the file among the results of that job. model:
    the SHA-256 of the model's file. datasets, models: those that parameters of the job name, which are left out of
    params. precision: of the convolutions, as `auto` was resolved. device: the kind of processor or GPU. processes:
    those that learned in the last attempt of a training job, which may be fewer than its params ask for; files of
    older versions do not say it.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    format: Literal["genconvnet-picture/1"] = "genconvnet-picture/1"
    version: Text = VERSION
    kind: MadeBy
    params: dict[str, Any]
    model: Hash | None
    dataset: DatasetOrigin | None
    datasets: dict[Text, DatasetOrigin] = {}
    models: dict[Text, Hash] = {}
    precision: Text
    device: Text
    processes: Annotated[int, Field(ge=1)] | None = None
    name: Text
    index: Annotated[int, Field(ge=0)]


def write_origin(png: bytes, origin: Origin) -> bytes:
    """Return the PNG file with its origin in it, and the software's name, both before the pixels."""
    text = json.dumps(origin.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    software = chunk(b"tEXt", SOFTWARE + b"\0" + f"genconvnet {origin.version}".encode())
    about = chunk(b"iTXt", KEYWORD + b"\0\0\0\0\0" + text.encode())
    return png[:HEADER_BYTES] + software + about + png[HEADER_BYTES:]


def read_origin(file: BinaryIO) -> Origin:
    """Return the origin of a picture file, of which only the text is read. Raises NoOrigin or BadOrigin."""
    text = next(_texts(file), None)
    if text is None:
        raise NoOrigin("it does not say how it was made: it is no picture of this service, or its text was removed")
    try:
        return Origin.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadOrigin(f"{DAMAGED}: {place + ': ' if place else ''}{first['msg']}") from error


def _texts(file: BinaryIO) -> Iterator[bytes]:
    """Yield the texts under our keyword. Raises NoOrigin if the file is no PNG, BadOrigin if a chunk is damaged."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise NoOrigin("it is no PNG file")
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        if name != b"iTXt":
            file.seek(length + 4, 1)
            continue
        start = file.read(min(length, len(KEYWORD) + 1))
        if start != KEYWORD + b"\0":
            file.seek(length - len(start) + 4, 1)
            continue
        if length > MAX_BYTES:
            raise BadOrigin(f"what it says about its making is longer than {MAX_BYTES} bytes")
        yield _text(name, start, file.read(length - len(start)), file.read(4))


def _text(name: bytes, start: bytes, rest: bytes, checksum: bytes) -> bytes:
    """Return the text of an iTXt chunk whose content is start + rest. Raises BadOrigin."""
    if checksum != struct.pack(">I", zlib.crc32(name + start + rest)):
        raise BadOrigin(f"{DAMAGED}: its checksum is wrong")
    compressed, method = rest[:1], rest[1:2]
    parts = rest[2:].split(b"\0", 2)
    if len(parts) < 3 or compressed not in (b"\0", b"\1") or method != b"\0":
        raise BadOrigin(f"{DAMAGED}: it is not in the form of a PNG text")
    return _inflated(parts[2]) if compressed == b"\1" else parts[2]


def _inflated(content: bytes) -> bytes:
    """Return text that another program has compressed. Raises BadOrigin."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(content, MAX_BYTES)
    except zlib.error as error:
        raise BadOrigin(f"{DAMAGED}: {error}") from error
    if not inflater.eof:
        raise BadOrigin(f"{DAMAGED}: it is cut off, or longer than {MAX_BYTES} bytes")
    return text

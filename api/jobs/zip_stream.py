"""All of a job's files in one zip, written while it is sent."""

import io
import zipfile
from collections.abc import Iterator, Sequence

from core.storage.blobs import Blobs
from core.storage.tables import Artifact


def stream_zip(blobs: Blobs, artifacts: Sequence[Artifact]) -> Iterator[bytes]:
    """The pieces of a zip; pictures do not shrink, so they are stored as they are, one at a time in memory."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for artifact in artifacts:
            archive.writestr(artifact.name, blobs.get(artifact.blob))
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """What a zip writes, to be taken away; it cannot be sought in, so zipfile never looks back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        written = bytes(piece)  # type: ignore[call-overload]
        self._pieces.append(written)
        return len(written)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken

"""A job's files as one zip, written while it is sent."""

from collections.abc import Iterator, Sequence

from zipstream import ZipStream

from core.storage.blobs import Blobs
from core.storage.tables import Artifact


def stream_zip(blobs: Blobs, artifacts: Sequence[Artifact]) -> Iterator[bytes]:
    """Yield a zip of the files, uncompressed because pictures do not shrink; one chunk at a time is in memory.

    The iterator raises BlobMissing if a file has been deleted meanwhile.
    """
    archive = ZipStream()
    for artifact in artifacts:
        archive.add(blobs.stream(artifact.blob, 0, artifact.bytes), artifact.name)
    return iter(archive)

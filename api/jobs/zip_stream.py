"""Files of jobs as one zip, written while it is sent."""

from collections.abc import Iterator, Mapping

from zipstream import ZipStream

from core.storage.blobs import Blobs
from core.storage.tables import Artifact


def stream_zip(blobs: Blobs, artifacts: Mapping[str, Artifact]) -> Iterator[bytes]:
    """Yield a zip of files by their names, uncompressed because pictures do not shrink, one chunk in memory at a time.

    The iterator raises BlobMissing if a file has been deleted meanwhile.
    """
    archive = ZipStream()
    for name, artifact in artifacts.items():
        archive.add(blobs.stream(artifact.blob, 0, artifact.bytes), name)
    return iter(archive)

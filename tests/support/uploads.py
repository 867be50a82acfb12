"""Uploads byte by byte, pictures that take long to decode, and the decoder processes of an API."""

import contextlib
import functools
import socket

import psutil
from PIL import Image
from support import pictures
from support.http import Api

DEFAULT_LIMITS = {
    "GENCONVNET_MAX_BODY_BYTES": "268435456",
    "GENCONVNET_MAX_FILE_BYTES": "33554432",
    "GENCONVNET_MAX_PICTURES": "2000",
    "GENCONVNET_MAX_PICTURE_SIDE": "16384",
    "GENCONVNET_MAX_PICTURE_PIXELS": "36000000",
}
HEAD = b"POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
OPENING = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
MEBIBYTE = 1 << 20


def decoders(api: Api) -> list[psutil.Process]:
    children = psutil.Process(api.process.pid).children()
    return [child for child in children if "api.datasets.decoder_process" in child.cmdline()]


def receive_all(connection: socket.socket) -> bytes:
    """Return all that arrives until the other side closes."""
    connection.settimeout(20)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@functools.cache
def largest() -> bytes:
    """Return a picture of the most pixels, in the mode that takes most memory."""
    return pictures.encoded(Image.new("RGBA", (6000, 6000), (1, 2, 3, 4)), "PNG")


@functools.cache
def slow_to_decode(count: int) -> list[tuple[str, bytes]]:
    """Return pictures of a few bytes that keep a decoder busy, about 0.3 s each."""
    content = pictures.encoded(Image.new("RGB", (3000, 3000)), "WEBP", lossless=True)
    return [(f"{index:02d}.webp", content) for index in range(count)]

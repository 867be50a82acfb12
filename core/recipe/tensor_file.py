"""Files of tensors: safetensors, whose header carries a JSON object. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.schemas.model_file import LENGTH_BYTES, BrokenFile, header_bytes


def save_tensors(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """Return a file of `tensors` whose header carries `about`, which has a "format"."""
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return save(on_cpu, metadata={"genconvnet": json.dumps(about)})


def load_tensors(content: bytes, expected: str, *older: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the JSON object of a file. Raises BrokenFile if it is damaged or of another format."""
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + header_bytes(content)])
        about = json.loads(header["__metadata__"]["genconvnet"])
        found = about["format"]
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BrokenFile(f"not a {expected} file: {error}") from error
    if found not in (expected, *older):
        raise BrokenFile(f"this is a {found} file, not a {expected} file")
    return tensors, about

"""Pictures whose files say how they were made."""

from typing import Any

from support import pictures

from core.pictures.origin import Origin, write_origin

SAMPLE = {"count": 1, "width": 64, "height": 48, "steps": 3, "step_size": 0.1, "seed": 2**60, "tileable": True}


def origin_of(**changes: Any) -> Origin:
    """Return the origin of a sampled picture, but for `changes`."""
    about = {"kind": "sample", "params": SAMPLE, "model": None, "dataset": None, "precision": "float32"}
    return Origin.model_validate({**about, "device": "cpu X", "name": "synthesized-000.png", "index": 0, **changes})


def picture_of(**changes: Any) -> bytes:
    """Return a picture whose file has this origin."""
    return write_origin(pictures.png(), origin_of(**changes))

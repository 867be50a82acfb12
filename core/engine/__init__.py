"""The equations of core/theory/, computed fast: one interface, and an implementation for each device (README.md)."""

import torch

from core.engine.fast import FastEngine
from core.engine.interface import Batch, Engine, PreparedNet, ScoreGradient
from core.engine.precision import has_bfloat16, prefers_bfloat16
from core.engine.reference import ReferenceEngine
from core.schemas.learning import Precision

__all__ = [
    "Batch",
    "Engine",
    "FastEngine",
    "PreparedNet",
    "ReferenceEngine",
    "ScoreGradient",
    "choose_engine",
    "has_bfloat16",
]


def choose_engine(precision: Precision, device: torch.device) -> FastEngine:
    """Return the engine for `device`. auto: what is fastest there, see `core.engine.precision`."""
    if precision == "auto":
        precision = "bfloat16" if prefers_bfloat16(device) else "float32"
    return FastEngine.of(precision)

"""The equations of core/theory/, computed fast: one interface, and an implementation for each device (README.md)."""

import torch

from core.engine.fast import FastEngine
from core.engine.interface import Engine, ScoreGradient
from core.engine.reference import ReferenceEngine
from core.schemas.learning import Precision

__all__ = ["Engine", "FastEngine", "ReferenceEngine", "ScoreGradient", "choose_engine", "multiplies_bfloat16"]


def choose_engine(precision: Precision, device: torch.device) -> FastEngine:
    """Return the engine for `device`. auto: bfloat16 if the device has matrix units for it, else float32."""
    if precision == "auto":
        precision = "bfloat16" if multiplies_bfloat16(device) else "float32"
    return FastEngine(torch.bfloat16 if precision == "bfloat16" else None)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return True if the device has matrix units for bfloat16: a processor with AMX, a GPU from Ampere on."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))

"""Which engine each precision selects on each device (core/engine/__init__.py, core/engine/precision.py)."""

import pytest
import torch

from core.engine import FastEngine, ReferenceEngine, choose_engine, has_bfloat16
from core.engine import precision as engine_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def processor(monkeypatch, *instructions, speedup=0.0):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True))
    monkeypatch.setattr(engine_precision, "_speedup", lambda: speedup)


@pytest.mark.parametrize("instructions", [(), ("avx512_bf16",), ("amx_bf16",)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_explicit_precision_is_used_on_any_processor(monkeypatch, precision, instructions):
    processor(monkeypatch, *instructions)
    engine = choose_engine(precision, CPU)
    assert isinstance(engine, FastEngine)
    assert engine.precision == precision


@pytest.mark.parametrize(
    ("instructions", "speedup", "precision"),
    [
        ((), 2.0, "float32"),  # emulated: never
        (("avx2",), 2.0, "float32"),
        (("avx512_bf16",), 2.6, "bfloat16"),
        (("avx512_bf16",), 0.5, "float32"),
        (("bf16",), 2.0, "bfloat16"),
        (("sve_bf16",), 1.1, "float32"),
        (("avx512_bf16", "amx_bf16"), 0.0, "bfloat16"),  # not measured
    ],
)
def test_auto_is_bfloat16_if_the_processor_has_it_and_is_faster(monkeypatch, instructions, speedup, precision):
    processor(monkeypatch, *instructions, speedup=speedup)
    assert choose_engine("auto", CPU).precision == precision


def test_the_speedup_of_this_processor_is_measured_once():
    engine_precision._speedup.cache_clear()
    found = engine_precision._speedup()
    assert 0 < found < 100
    assert engine_precision._speedup() == found


@pytest.mark.parametrize(("capability", "has_units"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((9, 0), True)])
def test_auto_is_bfloat16_on_a_gpu_from_ampere_on(monkeypatch, capability, has_units):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    processor(monkeypatch, *([] if has_units else ["amx_bf16"]))
    assert has_bfloat16(CUDA) == has_units
    assert choose_engine("auto", CUDA).precision == ("bfloat16" if has_units else "float32")


def test_engines_name_their_precision():
    assert ReferenceEngine().precision == "float32"
    assert FastEngine().precision == "float32"
    assert FastEngine(torch.float32).precision == "float32"
    assert FastEngine(torch.bfloat16).precision == "bfloat16"

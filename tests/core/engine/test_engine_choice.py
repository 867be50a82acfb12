"""Which engine each precision selects on each device (core/engine/__init__.py)."""

import pytest
import torch

from core.engine import FastEngine, ReferenceEngine, choose_engine, multiplies_bfloat16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def with_units(monkeypatch, has_units):
    capabilities = {} if has_units is None else {"amx_bf16": has_units, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


@pytest.mark.parametrize("has_units", [True, False, None])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_explicit_precision_is_used_on_any_processor(monkeypatch, precision, has_units):
    with_units(monkeypatch, has_units)
    engine = choose_engine(precision, CPU)
    assert isinstance(engine, FastEngine)
    assert engine.precision == precision


@pytest.mark.parametrize(("has_units", "precision"), [(True, "bfloat16"), (False, "float32"), (None, "float32")])
def test_auto_is_bfloat16_if_the_processor_has_matrix_units_for_it(monkeypatch, has_units, precision):
    with_units(monkeypatch, has_units)
    assert multiplies_bfloat16(CPU) == (has_units is True)
    assert choose_engine("auto", CPU).precision == precision


@pytest.mark.parametrize(("capability", "has_units"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((9, 0), True)])
def test_auto_is_bfloat16_on_a_gpu_from_ampere_on(monkeypatch, capability, has_units):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with_units(monkeypatch, not has_units)
    assert multiplies_bfloat16(CUDA) == has_units
    assert choose_engine("auto", CUDA).precision == ("bfloat16" if has_units else "float32")


def test_engines_name_their_precision():
    assert ReferenceEngine().precision == "float32"
    assert FastEngine().precision == "float32"
    assert FastEngine(torch.float32).precision == "float32"
    assert FastEngine(torch.bfloat16).precision == "bfloat16"

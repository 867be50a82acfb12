"""Which engine a precision means on which device."""

import pytest
import torch

from core.engine import FastEngine, ReferenceEngine, choose_engine, multiplies_bfloat16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def with_units(monkeypatch, there):
    capabilities = {} if there is None else {"amx_bf16": there, "avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


@pytest.mark.parametrize("there", [True, False, None])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_is_had_whatever_the_processor_has(monkeypatch, precision, there):
    with_units(monkeypatch, there)
    engine = choose_engine(precision, CPU)
    assert isinstance(engine, FastEngine)
    assert engine.precision == precision


@pytest.mark.parametrize(("there", "precision"), [(True, "bfloat16"), (False, "float32"), (None, "float32")])
def test_auto_is_bfloat16_where_the_processor_has_matrix_units_for_it(monkeypatch, there, precision):
    with_units(monkeypatch, there)
    assert multiplies_bfloat16(CPU) == (there is True)
    assert choose_engine("auto", CPU).precision == precision


@pytest.mark.parametrize(("capability", "there"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((9, 0), True)])
def test_auto_is_bfloat16_on_a_gpu_from_ampere_on(monkeypatch, capability, there):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with_units(monkeypatch, not there)
    assert multiplies_bfloat16(CUDA) == there
    assert choose_engine("auto", CUDA).precision == ("bfloat16" if there else "float32")


def test_precisions_are_named():
    assert ReferenceEngine().precision == "float32"
    assert FastEngine().precision == "float32"
    assert FastEngine(torch.float32).precision == "float32"
    assert FastEngine(torch.bfloat16).precision == "bfloat16"

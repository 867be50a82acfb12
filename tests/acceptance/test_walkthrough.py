"""The cells of examples/walkthrough.ipynb run in order, against the service that tests share.

They are run by exec: nbclient would bring a Jupyter kernel and its packages, only to run the same statements.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.service import Service

NOTEBOOK = Path(__file__).parents[2] / "examples/walkthrough.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_cells_of_the_walkthrough_run(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(NOTEBOOK.parents[1])
    monkeypatch.setenv("GENCONVNET_SERVER", str(service.http.base_url))
    names: dict[str, Any] = {"__name__": "walkthrough"}
    threads = torch.get_num_threads()
    try:
        for number, cell in enumerate(CELLS):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"cell {number} of {NOTEBOOK.name}", "exec"), names)
    finally:
        torch.set_num_threads(threads)
    assert names["modes"].converged.all()
    assert names["job"].status == "succeeded"
    assert names["tile"].size == (96, 48)
    assert "sampled (96, 48)" in capsys.readouterr().out


def test_the_walkthrough_is_stored_without_outputs() -> None:
    assert [cell["outputs"] for cell in CELLS if cell["cell_type"] == "code" and cell["outputs"]] == []

"""The cells of examples/walkthrough.ipynb run in order, against the service that tests share.

They are run by exec: nbclient would bring a Jupyter kernel and its packages, only to run the same statements.
"""

import json
import runpy
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


def test_the_walkthrough_is_stored_with_the_outputs_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is not, run `make pictures PICTURES="--only notebook"`, which takes half a minute."""
    monkeypatch.syspath_prepend(NOTEBOOK.parents[1] / "tools")
    tool = runpy.run_path(str(NOTEBOOK.parents[1] / "tools/walkthrough.py"))
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["metadata"][tool["DIGEST"]] == tool["digest"](tool["code_cells"](notebook))
    assert NOTEBOOK.stat().st_size < 1_500_000

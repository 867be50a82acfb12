"""Run examples/walkthrough.ipynb and store it with its outputs: `make pictures PICTURES="--only notebook"`.

The cells are run by exec, without Jupyter. What they print is stored, and the value of a last expression: a picture as
PNG, anything else as text. The notebook's metadata keep a digest of the code that made the outputs.
"""

import ast
import base64
import contextlib
import hashlib
import io
import json
import os
from typing import Any

from PIL import Image
from service_run import ROOT, Run, png

NOTEBOOK = ROOT / "examples/walkthrough.ipynb"
DIGEST = "outputs_of_code_sha256"
Cell = dict[str, Any]


def make(run: Run) -> None:
    os.environ["GENCONVNET_SERVER"] = run.url
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = code_cells(notebook)
    names: dict[str, Any] = {"__name__": "walkthrough"}
    with contextlib.chdir(ROOT):
        for number, cell in enumerate(cells, start=1):
            cell["execution_count"] = number
            cell["outputs"] = outputs_of(cell, number, names)
    notebook["metadata"][DIGEST] = digest(cells)
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def digest(cells: list[Cell]) -> str:
    """Return a digest of the source of cells."""
    return hashlib.sha256("\0".join("".join(cell["source"]) for cell in cells).encode()).hexdigest()


def outputs_of(cell: Cell, number: int, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell; return its outputs in the notebook's format."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    file, printed = f"cell {number} of {NOTEBOOK.name}", io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, file, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), file, "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": printed.getvalue().splitlines(True)})
    if value is not None:
        result = {"data": data_of(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        outputs.append(result)
    return outputs


def data_of(value: object) -> dict[str, Any]:
    """Return a value by media type, as notebooks store it."""
    if isinstance(value, Image.Image):
        text = f"a picture of {value.width} x {value.height} pixels"
        return {"image/png": base64.b64encode(png(value)).decode(), "text/plain": [text]}
    return {"text/plain": [repr(value)]}
